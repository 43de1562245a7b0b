// GitHub's own library: reads tasks as JSON from standard input, gives their results in order (see __init__.py).
import { sign, verify } from "@octokit/webhooks-methods";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const results = [];
for (const { act, secret, body, headers } of JSON.parse(text)) {
  const raw = Buffer.from(body, "base64").toString("utf8");
  if (act === "sign") results.push({ "X-Hub-Signature-256": await sign(secret, raw) });
  else results.push(await verify(secret, raw, headers["x-hub-signature-256"]));
}
console.log(JSON.stringify(results));
