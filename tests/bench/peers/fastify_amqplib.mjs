// The same as users of fastify and amqplib write it. `node fastify_amqplib.mjs AMQP_URL SECRET` says its port.
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import amqplib from "amqplib";
import fastify from "fastify";

const [amqpUrl, secret] = process.argv.slice(2);
const queue = "bench.fastify_amqplib";

const connection = await amqplib.connect(amqpUrl);
const channel = await connection.createConfirmChannel();
await channel.assertQueue(queue, { durable: true, arguments: { "x-queue-type": "quorum" } });

const app = fastify({ logger: false, bodyLimit: 10 * 1024 * 1024 });
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));

app.post("/in/:tenant/:endpoint", async (request, reply) => {
  const expected = Buffer.from("sha256=" + createHmac("sha256", secret).update(request.body).digest("hex"));
  const presented = Buffer.from(request.headers["x-hub-signature-256"] ?? "");
  if (expected.length !== presented.length || !timingSafeEqual(expected, presented)) {
    return reply.code(401).send();
  }
  const messageId = randomUUID();
  const { tenant, endpoint } = request.params;
  await new Promise((resolve, reject) => {
    channel.sendToQueue(
      queue,
      request.body,
      {
        persistent: true,
        mandatory: true,
        messageId,
        timestamp: Math.floor(Date.now() / 1000),
        contentType: "application/json",
        headers: { tenant, endpoint, "http-headers": JSON.stringify(request.raw.rawHeaders) },
      },
      (error) => (error ? reject(error) : resolve()),
    );
  });
  return reply.code(202).send({ id: messageId });
});

await app.listen({ host: "127.0.0.1", port: 0, backlog: 1024 });
console.log(JSON.stringify({ port: app.server.address().port, queue }));
process.on("SIGTERM", () => process.exit(0));
