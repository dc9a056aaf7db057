"""How the cost of work is displayed: at the operator's prices."""

from service.settings import Settings
from service.usage.schemas import CostView

HOUR = 3600  # seconds


def cost_view(settings: Settings, cpu_seconds: float, gpu_seconds: float) -> CostView:
    cpu, gpu = settings.price_cpu_hour, settings.price_gpu_hour
    money = (cpu_seconds * cpu + gpu_seconds * gpu) / HOUR if cpu or gpu else None
    return CostView(cpu_seconds=cpu_seconds, gpu_seconds=gpu_seconds, money=money, currency=settings.currency)
