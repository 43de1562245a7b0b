"""The headers of `webhook.received` as a document, for their JSON Schema; `webhook.py` writes and reads them."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, RootModel

from headwater.contracts.base import Closed

JsonText = Annotated[str, Field(json_schema_extra={"contentMediaType": "application/json"})]


class WebhookHeaders(Closed):
    """Everything of a delivery but its body, which is the message's body, byte for byte. All values are texts.

    `receipt` is JSON: {received_at (ISO 8601 with its zone), method, url, remote (or null), headers ([[name, value], …]
    in wire order, latin-1), verification ({scheme, secret, timestamp}), type (or null), key (or null), dedupe_s (the
    window of the key in seconds)}. With `payload-id` the body stands in table `payload` instead.
    """

    tenant: str
    endpoint: str
    delivery_id: Annotated[UUID, Field(alias="delivery-id")]
    receipt: JsonText
    payload_id: Annotated[UUID | None, Field(alias="payload-id")] = None


class OrderedHeaders(Closed):
    """Of an endpoint with `order_by`: the oldest delivery that waits for this key is to be taken. The body is empty.

    `ordered` is JSON: [endpoint, key].
    """

    tenant: str
    ordered: JsonText


class ReplayHeaders(Closed):
    """A delivery that is stored is to be done again. The body is empty.

    `replay` is JSON: [id of the delivery, when it was received (ISO 8601 with its zone), number of the replay from 1].
    """

    tenant: str
    replay: JsonText


class ReceivedHeaders(RootModel[WebhookHeaders | OrderedHeaders | ReplayHeaders]):
    """The headers of `webhook.received`, in its three forms."""
