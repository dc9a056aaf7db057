"""The engine: a stream of requests in, a stream of candidates out, through one batch that is refilled at every step.

Requests differ in strength, hence in steps, and in guidance. A fixed batch would wait for its slowest; here every row has
its own latents, place in its schedule, prompt and mask. A tick packs all rows into one forward of the denoiser, moves each
by its own solver step, and gives the places of finished rows to the next requests of the stream.

With a cache interval it takes two forwards: one of the rows that compute their deep features in this step, and one, of the
denoiser's outermost layers alone, of those that forecast them.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.schedule import Levels, add_noise
from pipelines.engine.batch import Batch, Conditioning, entropy_scale
from pipelines.engine.caching import RowCache, forecast, keep
from pipelines.engine.capacity import Capacity, Size
from pipelines.engine.entropy_guidance import Network, entropy_gradient, lead
from pipelines.engine.guidance import guide
from pipelines.engine.mixing import mixed
from pipelines.engine.probe import Probe
from pipelines.engine.references import References, advance_references, references_of
from pipelines.engine.requests import Listed, RequestQueue
from pipelines.engine.solver import advance, predicted_x0
from pipelines.engine.stream import TOGETHER, Stream
from pipelines.records import Candidate, Image, Request
from pipelines.regions import paste, paste_object
from pipelines.tensors import images

SIZES = 2  # numbers of rows, up to the capacity, that a compiled denoiser meets; with guidance twice as many
NOT_FINITE = "engine: pixels that are no numbers; another precision may help: bf16 or fp32"


class Engine:
    """Runs requests on one backbone, `capacity` of its own resolution at a time, fewer of larger ones and more of smaller:
    that bounds its memory, whatever the length of the stream."""

    def __init__(
        self, backbone: Backbone, capacity: int = 32, cache_interval: int = 1, classifier: Network | None = None
    ) -> None:
        """`classifier`, in evaluation mode: the one whose entropy rows are led by; none: no row is.

        Raises ModelError for a cache interval above 1 of a denoiser without deep features.
        """
        self.backbone, self.cache_interval, self.classifier = backbone, cache_interval, classifier
        side = backbone.resolution // backbone.vae_scale_factor
        self.fitting = Capacity(capacity, (side, side))
        self.cache = backbone.feature_cache() if cache_interval > 1 else None

    @property
    def capacity(self) -> int:
        """Requests of the checkpoint's own resolution in the batch at most; fewer than at first where memory ran out."""
        return self.fitting.rows

    def run(self, requests: Iterable[Request]) -> Iterator[Candidate]:
        """Yield one candidate a request, in the order in which they finish: deterministic for the same stream."""
        return chain.from_iterable(self.batches(Listed(requests)))

    @torch.inference_mode()
    def batches(self, queue: RequestQueue, probe: Probe | None = None) -> Iterator[list[Candidate]]:
        """Yield the candidates that are decoded together, and those that the probe ends; more requests may be queued for
        each before the next are asked for."""
        stream = Stream(self.backbone, self.fitting, queue, probe)
        while not stream.ended:
            if failures := stream.fill():
                yield failures
            for batch in stream.batches.values():
                self.tick(batch)
            if probe is not None:
                yield from self.end_early(stream, probe)
            for done, latents in stream.finished():
                yield self.decode(done, latents)

    def tick(self, batch: Batch) -> None:
        """A prediction of the denoiser for all rows, one solver step for each."""
        t, level, weights, level_kept = batch.next_step()
        prediction, kind = self.predict(batch, t), self.backbone.schedule.prediction
        if batch.reference is not None:
            prediction, of_references = prediction.chunk(2, dim=1)
            advance_references(batch, of_references, level, weights, kind)
        x0 = predicted_x0(batch.x, prediction, level, kind)
        x0 = self.led(batch, x0, level)
        x = advance(batch.x, x0, batch.x0_previous, weights)
        if batch.masked and not self.backbone.inpainting:
            x = batch.mask * x + (1 - batch.mask) * add_noise(batch.x0, batch.eps, level_kept)
        batch.advance(x, x0)

    def led(self, batch: Batch, x0: Tensor, level: Levels) -> Tensor:
        """x0 where the classifier is less sure of it, of rows with entropy guidance in this step."""
        scales = [entropy_scale(request, steps[0]) for request, steps in zip(batch.requests, batch.steps, strict=True)]
        numbers = [number for number, scale in enumerate(scales) if scale]
        if self.classifier is None or not numbers:
            return x0
        classifier, index = self.classifier, torch.tensor(numbers, device=x0.device)

        def gradient(part: slice) -> Tensor:
            together = max(1, self.fitting.rows // TOGETHER)  # the decoder's activations are kept
            parts = torch.split(x0[index[part]], together)
            return torch.cat([entropy_gradient(own, self.backbone.decode_latents, classifier) for own in parts])

        towards, scale = self.fitting.map(gradient, len(numbers), batch.size), torch.tensor(scales, device=x0.device)[index]
        led = x0.clone()
        led[index] = lead(x0[index], towards, scale, Levels(level.alpha[index], level.sigma[index]))
        return led

    def predict(self, batch: Batch, t: Tensor) -> Tensor:
        """The guided prediction of all rows: by one forward, with a cache by one of the due rows and one of the others."""
        if self.cache is None:
            return self.fitting.map(partial(self.predict_rows, batch, t), len(batch), batch.size)
        prediction, due = torch.empty_like(batch.x), [cache.due(self.cache_interval) for cache in batch.caches]
        for numbers in (alike for now in (True, False) if (alike := [n for n, one in enumerate(due) if one == now])):
            rows, index = batch.rows(numbers), torch.tensor(numbers, device=t.device)
            prediction[index] = self.fitting.map(partial(self.predict_rows, rows, t[index]), len(rows), rows.size)
        for cache in batch.caches:
            cache.step += 1
        return prediction

    def predict_rows(self, batch: Batch, t: Tensor, part: slice) -> Tensor:
        """The guided prediction of some rows; where the batch has references, those of them as further channels.

        Of classifier-free guidance, guided rows run twice; elsewhere the scale is an input of the denoiser. With a cache,
        rows are all due, or none is; due ones run twice already that are guided in a step that takes their features.
        """
        rows, t = batch.rows(range(part.start, part.stop)), t[part]
        x = rows.x if rows.inpainting_channels is None else torch.cat([rows.x, rows.inpainting_channels], dim=1)
        conditioning = rows.conditioning(self.cache_interval if rows.caches[0].due(self.cache_interval) else 1)
        guided, scale = conditioning.guided, conditioning.scale
        order = torch.cat([torch.arange(len(rows), device=x.device), guided])
        references = references_of(rows, conditioning.twice)
        numbers = [*range(len(order)), *references.again]
        numbers += numbers[-1:] * self.padding(len(numbers))
        every = torch.tensor(numbers, device=x.device) if len(numbers) > len(order) else slice(None)
        inputs = x[order][every]
        if references.again and rows.reference is not None:
            again = slice(len(order), len(order) + len(references.again))
            inputs[again, : rows.x.shape[1]] = rows.reference[order[references.again], 0]
        loras, embeds = conditioning.loras, conditioning.image_embeds
        with (
            self.backbone.loras.of_rows([loras[number] for number in numbers]),
            self.caching(rows.caches, conditioning.twice),
            self.pushing(references, rows.size),
        ):
            prediction = self.backbone.predict(
                inputs,
                t[order][every],
                conditioning.prompt_embeds.rows(every),
                None if embeds is None else embeds[every],
                conditioning.image_scale[every],
                None if self.backbone.classifier_free else scale[every],
            )
        own = guided_rows(prediction[: len(order)], rows, conditioning)
        if self.backbone.editing and len(guided):
            own[guided] += self.image_guidance(rows, t[guided], conditioning, prediction[len(rows) : len(order)])
        if rows.reference is None:
            return own
        return torch.cat([own, guided_rows(references.predictions(prediction, len(order)), rows, conditioning)], dim=1)

    def image_guidance(self, rows: Batch, t: Tensor, conditioning: Conditioning, unconditional: Tensor) -> Tensor:
        """What guidance by the image adds to the guided rows (InstructPix2Pix, arXiv 2211.09800): the difference between the
        predictions without the prompt and those without the image, too, by a forward of their own."""
        guided, others = conditioning.guided, slice(len(rows), None)
        x, embeds = rows.x[guided], conditioning.prompt_embeds.rows(others)
        nothing = self.backbone.predict(
            torch.cat([x, torch.zeros_like(x)], dim=1), t, embeds, None, conditioning.image_scale[others], None
        )
        scale = torch.tensor([rows.requests[row].image_guidance for row in conditioning.twice], device=x.device)
        return (scale.view(-1, 1, 1, 1) - 1) * (unconditional - nothing)

    def padding(self, count: int) -> int:
        """How often the last of so many rows is repeated: a compiled denoiser is compiled for each number of rows that it
        meets. Not with a cache, whose features are of the rows alone."""
        if not self.backbone.compiled or self.cache is not None:
            return 0
        return -count % max(1, self.capacity // SIZES)

    def pushing(self, references: References, size: Size) -> AbstractContextManager[None]:
        """Inside the block, the forward pushes rows away from their references."""
        pairs = references.pairs(self.backbone.device)
        return nullcontext() if pairs is None else self.backbone.negative_merging.of_pairs(pairs, size[0] * size[1])

    @contextmanager
    def caching(self, caches: Sequence[RowCache], twice: Sequence[int]) -> Iterator[None]:
        """Inside the block, the forward of these rows, then of some again, keeps their deep features, or forecasts them."""
        if self.cache is None:
            yield
        elif caches[0].due(self.cache_interval):
            with self.cache.recording() as recorder:
                yield
                keep(caches, twice, recorder.features)
        else:
            with self.cache.recalling(forecast(caches, twice)):
                yield

    def end_early(self, stream: Stream, probe: Probe) -> Iterator[list[Candidate]]:
        """Take the rows that the probe ends out of the batch; yield them as they were predicted."""
        for requests, x0 in stream.reached():
            candidates = [candidate for candidate in self.decode(requests, x0) if candidate.failure is None]
            with torch.inference_mode(False):  # a filter may need gradients
                verdicts = zip(candidates, probe.look(candidates), strict=True)
            ended = [replace(one, failure=v.reason, scores=v.scores) for one, v in verdicts if not v.kept]
            if ended:
                stream.end([candidate.request for candidate in ended])
                yield ended

    def decode(self, requests: Sequence[Request], latents: Tensor) -> list[Candidate]:
        """Decode finished rows, and put them back into their originals.

        An overflow, of half precision most of all, is a failure of its row alone.
        """
        size = latents.shape[-2], latents.shape[-1]
        pixels = self.fitting.map(lambda part: self.backbone.decode_latents(latents[part]), len(latents), size)
        numbers = pixels.isfinite().flatten(1).all(dim=1).tolist()
        return [
            Candidate(request, composed(request, image), None if finite else NOT_FINITE)
            for request, image, finite in zip(requests, images(pixels), numbers, strict=True)
        ]


def guided_rows(predictions: Tensor, rows: Batch, conditioning: Conditioning) -> Tensor:
    """One of each row, of predictions of all rows and then of the guided ones without their prompt."""
    prediction, unconditional, guided = predictions[: len(rows)], predictions[len(rows) :], conditioning.guided
    if len(guided):
        rescale = None if rows.guidance_rescale is None else rows.guidance_rescale[guided]
        prediction[guided] = guide(prediction[guided], unconditional, conditioning.scale[guided], rescale)
    return prediction


def composed(request: Request, image: Image) -> Image:
    """What was painted, in the original outside the region, and with the grafted object on top; or mixed with it."""
    if request.image is None or request.mask is None:
        return image
    pasted = paste(request.image, image, request.mask)
    if request.mix is not None:
        return mixed(request.mix, request.image, pasted)
    return pasted if request.graft is None else paste_object(pasted, request.graft.image, request.graft.mask)
