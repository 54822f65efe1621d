"""What a Prometheus would see of the metrics: an exposition, read by the library's own parser."""

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from bibsync.metrics import Metrics


async def samples(metrics: Metrics) -> list[Sample]:
    """Return every sample of an exposition."""
    _, body = await metrics.exposition()
    return [
        sample
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    ]


async def shown(metrics: Metrics, name: str, **labels: str) -> dict[tuple[str, ...], float]:
    """Return the samples of this name that have these labels, by the values of their other labels.

    The values stand in the order of the labels' names.
    """
    return {
        tuple(value for label, value in each.labels.items() if label not in labels): each.value
        for each in await samples(metrics)
        if each.name == name and labels.items() <= each.labels.items()
    }


async def families(metrics: Metrics) -> set[str]:
    """Return the names that an exposition has, as its TYPE lines say them."""
    _, body = await metrics.exposition()
    return {line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE ")}
