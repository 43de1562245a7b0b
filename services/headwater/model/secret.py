"""A value that must not be seen: it shows itself as stars wherever it is printed."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """Plaintext of a secret; `reveal()` is the only way to it."""

    _value: bytes = field(repr=False)

    @classmethod
    def of(cls, text: str) -> "Secret":
        return cls(text.encode("utf-8"))

    def reveal(self) -> bytes:
        return self._value

    def text(self) -> str:
        return self._value.decode("utf-8")

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__
