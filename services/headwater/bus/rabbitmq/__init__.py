"""RabbitMQ behind the bus port. The only door to aio-pika and the protocol layer below it."""

from headwater.bus.rabbitmq.bus import RabbitBus
from headwater.bus.rabbitmq.declare import apply_topology, check_topology
from headwater.bus.rabbitmq.outlet import RabbitOutlet

__all__ = ["RabbitBus", "RabbitOutlet", "apply_topology", "check_topology"]
