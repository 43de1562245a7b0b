"""What crosses a border: messages on the bus and the manifest that people write."""
