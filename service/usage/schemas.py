"""Response models of usage; server and client share that of cost."""

from pydantic import BaseModel, Field


class CostView(BaseModel):
    """What units of work that have ended took, those that failed too. Previews, uploads and removals are not counted."""

    cpu_seconds: float = Field(0.0, description="Seconds of CPU workers.")
    gpu_seconds: float = Field(0.0, description="Seconds of GPU workers.")
    money: float | None = Field(None, description="At the operator's prices; null where there are none.")
    currency: str = Field("", description="Of the money.", examples=["EUR"])

    def divided(self, count: int) -> "CostView":
        """What one of so many images took."""
        cpu, gpu, money = self.cpu_seconds / count, self.gpu_seconds / count, self.money
        return CostView(
            cpu_seconds=cpu, gpu_seconds=gpu, money=None if money is None else money / count, currency=self.currency
        )


class CapsView(BaseModel):
    """Caps that hold for requests with this key; 0: none."""

    versions_in_flight: int = Field(description="Most versions that have not ended.")
    running_units: int = Field(description="Most units that are worked on at a time.")
    bytes_stored: int = Field(description="Bytes of published versions above which no more is taken in.")
    streams: int = Field(description="Most open streams of events, by API process.")
    webhooks: int = Field(description="Most webhooks.")
    requests_per_second: float = Field(description="Most requests of this key, by API process.")


class UsageView(BaseModel):
    """What a tenant has."""

    versions: int
    versions_in_flight: int = Field(description="Versions that have not ended.")
    running_units: int = Field(description="Units that are worked on now.")
    bytes_stored: int = Field(description="Bytes of published versions.")
    webhooks: int
    cost: CostView = Field(description="What its versions took: all that are there.")
    caps: CapsView
