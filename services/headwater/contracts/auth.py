"""How a source is told who is asking. Texts may hold `${secret:NAME}`, read at run time."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.naming import HeaderName, OptionalSecretText, SecretText
from headwater.contracts.pagination import one_or_many

AwsWord = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=64)]
SchemeWord = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~+/-]{0,32}$")]
TokenUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#]+", max_length=2048)]
Seconds = Annotated[int, Field(ge=1, le=366 * 86_400)]
RefusalStatus = Annotated[int, Field(ge=400, le=499)]
RefusalStatuses = Annotated[
    tuple[RefusalStatus, ...],
    BeforeValidator(one_or_many, json_schema_input_type=RefusalStatus | tuple[RefusalStatus, ...]),
]


class NoAuth(Closed):
    type: Literal["none"] = "none"


class BearerAuth(Closed):
    """`Authorization: Bearer <token>`; `scheme` replaces the word Bearer."""

    type: Literal["bearer"]
    token: SecretText
    scheme: SchemeWord = "Bearer"


class BasicAuth(Closed):
    type: Literal["basic"]
    username: str
    password: OptionalSecretText = ""


class ApiKeyAuth(Closed):
    """A key in a header, a query parameter or a cookie."""

    type: Literal["api_key"]
    name: Annotated[str, StringConstraints(min_length=1, max_length=128)] = "X-API-Key"
    value: SecretText
    place: Literal["header", "query", "cookie"] = Field(default="header", alias="in")


class HmacAuth(Closed):
    """Each request is signed by a shared key.

    `signed` is the text that is signed, with `{method} {path} {query} {url} {host} {body} {body_sha256}
    {timestamp} {nonce} {key_id}`. The other templates make headers: `{signature}` and the names above but the
    body's.
    """

    type: Literal["hmac"]
    key: SecretText
    key_id: str = ""
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    key_encoding: Literal["utf8", "base64", "hex"] = "utf8"
    encoding: Literal["hex", "base64"] = "hex"
    timestamp: Literal["epoch_s", "epoch_ms", "iso"] = "epoch_s"
    signed: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    headers: dict[HeaderName, str] = Field(min_length=1)


class OAuth2Auth(Closed):
    """OAuth 2: client credentials, or a refresh token (`grant: refresh_token`), which may rotate.

    `client_in` says where id and secret of the client go; `params` are further fields of the token request.
    `refresh_on_status`: answers beside 401 by which the API says that a token is over; it is renewed once for each.
    """

    type: Literal["oauth2"]
    grant: Literal["client_credentials", "refresh_token"] = "client_credentials"
    token_url: TokenUrl
    client_id: str
    client_secret: OptionalSecretText = ""
    client_in: Literal["basic", "body"] = "basic"
    refresh_token: OptionalSecretText = ""
    scope: str | None = None
    audience: str | None = None
    params: dict[str, str] = Field(default={})
    scheme: SchemeWord = "Bearer"
    refresh_on_status: RefusalStatuses = ()

    @model_validator(mode="after")
    def _a_refresh_needs_a_token(self) -> Self:
        if self.grant == "refresh_token" and not self.refresh_token:
            raise ValueError("grant refresh_token needs `refresh_token`")
        return self


class JwtAuth(Closed):
    """A signed assertion (RFC 7523) that is exchanged at `token_url`, or shown itself where there is none.

    `grant`: exchanged as what grants the token (`jwt_bearer`), or as what proves who the client is
    (`client_credentials`, also called private_key_jwt: Okta, SMART on FHIR, certificates of Entra ID); `issuer` is the
    client's id then, and the scope a field of the request.
    `claims` are added to iss, sub, aud, iat, exp and jti; `lifetime_s` is the assertion's. `refresh_on_status`: as with
    `oauth2`, where there is a `token_url`.
    """

    type: Literal["jwt"]
    token_url: TokenUrl | None = None
    grant: Literal["jwt_bearer", "client_credentials"] = "jwt_bearer"
    algorithm: Literal["HS256", "RS256", "ES256"] = "RS256"
    key: SecretText
    key_id: str | None = None
    issuer: str
    subject: str | None = None
    audience: str | None = None
    scope: str | None = None
    claims: dict[str, Any] = Field(default={})
    lifetime_s: Annotated[int, Field(ge=30, le=86_400)] = 300
    scheme: SchemeWord = "Bearer"
    refresh_on_status: RefusalStatuses = ()

    @model_validator(mode="after")
    def _an_audience_is_known(self) -> Self:
        if self.token_url is None and self.audience is None:
            raise ValueError("without `token_url` give the `audience` of the assertion")
        if self.token_url is None and self.grant != "jwt_bearer":
            raise ValueError("`grant` is for a token that is asked for: give `token_url`, or leave it out")
        if self.token_url is None and self.refresh_on_status:
            raise ValueError(
                "`refresh_on_status` is for tokens that are asked for: give `token_url`, or leave it out"
            )
        return self


class SessionAuth(Closed):
    """Two steps: a login answers with a token, which is shown from then on.

    `login_url` gets `json` (or `form`) and `headers`. The token stands in the answer's body, to which `token_path`
    leads (JMESPath; `@` is the whole of it, which may be a plain text), in the header `token_header`, or in the cookie
    `token_cookie`. `expires_path` leads to its seconds of life, else these are `lifetime_s`. A cookie goes back as
    one; else `template` makes the value of the header `name` of `{token}`. `refresh_on_status`: answers beside 401 by
    which the API says that a token is over; there is one login for each.
    """

    type: Literal["session"]
    login_url: TokenUrl
    body: dict[str, Any] | None = Field(default=None, alias="json")
    form: dict[str, str] | None = None
    headers: dict[HeaderName, str] = Field(default={})
    token_path: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    token_header: HeaderName | None = None
    token_cookie: HeaderName | None = None  # RFC 6265 §4.1.1: a token as well
    expires_path: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    lifetime_s: Seconds = 3600
    name: HeaderName = "Authorization"
    template: Annotated[str, StringConstraints(pattern=r"\{token\}", max_length=256)] = "Bearer {token}"
    refresh_on_status: RefusalStatuses = ()

    @model_validator(mode="after")
    def _one_place_of_the_token(self) -> Self:
        places = (self.token_path, self.token_header, self.token_cookie)
        if sum(place is not None for place in places) != 1:
            raise ValueError(
                "say where the token is: give one of `token_path`, `token_header` and `token_cookie`"
            )
        told = type(self).model_fields
        if self.token_cookie and (self.name, self.template) != (
            told["name"].default,
            told["template"].default,
        ):
            raise ValueError("a `token_cookie` goes back as a cookie: leave out `name` and `template`")
        return self


class AwsAuth(Closed):
    """Requests signed as Amazon's services want them (Signature Version 4). `session_token` belongs to credentials that
    last for a while. `service` is the name in the signature: `execute-api`, `dynamodb`, `ce`, `es`, `s3`.
    """

    type: Literal["aws"]
    access_key_id: SecretText
    secret_access_key: SecretText
    session_token: OptionalSecretText = ""
    region: AwsWord
    service: AwsWord


Auth = Annotated[
    NoAuth | BearerAuth | BasicAuth | ApiKeyAuth | HmacAuth | AwsAuth | OAuth2Auth | JwtAuth | SessionAuth,
    Field(discriminator="type"),
]
