"""Render a brand pack's `README.md`: a model card made only from the pack's and the base's manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from onbrand.hidream.models import MODELS
from onbrand.packs.base import BaseManifest
from onbrand.packs.manifest import Manifest, Training


def render_card(manifest: Manifest, base: BaseManifest) -> str:
    """Markdown with front matter for Hugging Face. The same manifests give the same text."""
    return "\n".join([*_front_matter(manifest, base), *_text(manifest), *_origin(manifest, base), ""])


def _front_matter(manifest: Manifest, base: BaseManifest) -> Iterator[str]:
    yield "---"
    for source in base.sources:
        if source.folder == "transformer" and source.repository:
            yield f"base_model: {_quoted(source.repository)}"
    yield "library_name: diffusers"
    yield "pipeline_tag: text-to-image"
    yield f"instance_prompt: {_quoted(manifest.prompt_suffix.strip(' ,'))}"
    if manifest.examples:
        yield "widget:"
        yield from (f"  - text: {_quoted(example + manifest.prompt_suffix)}" for example in manifest.examples)
    yield "tags: [text-to-image, lora, hidream, onbrand]"
    yield "---"


def _text(manifest: Manifest) -> Iterator[str]:
    lora = manifest.lora
    kinds = Counter(module.rpartition(".")[2] for module in lora.adapted_modules)
    routed = sum(".experts." in module or module.endswith(".gate") for module in lora.adapted_modules)
    yield f"""
# {manifest.name}, version {manifest.version}

A brand pack for Onbrand: a LoRA for {MODELS[manifest.base_model].title} and its settings. This page was generated from
`pack.json`, which alone is used. It does not say whether a designer has approved the pack: see `onbrand pack list`.

| | |
|---|---|
| added to every prompt | `{_quoted(manifest.prompt_suffix)}` |
| prompt | {manifest.prompt_token_limit} tokens at most, including the text above |
| steps | {manifest.steps} |
| guidance scale | {manifest.guidance_scale:g}{_interval(manifest)} |
| shift | {manifest.shift:g} |
| LoRA | `{lora.file}`: rank {lora.rank}, alpha {lora.alpha:g}, applied at scale {lora.scale:g} |
| modules it adapts | {len(lora.adapted_modules)}: {", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))} |
| of these, routed experts and gates | {routed} |"""
    if manifest.training is not None:
        yield from _training(manifest.training)
    if manifest.examples:
        yield "\n## Prompts that it draws well\n"
        yield from (f"* {example}" for example in manifest.examples)


def _interval(manifest: Manifest) -> str:
    if manifest.guidance_interval is None:
        return ""
    low, high = manifest.guidance_interval
    return f", at noise levels from {high:g} to {low:g} only"


def _training(training: Training) -> Iterator[str]:
    yield f"""
## Training

{training.illustrations} illustrations (digest `{training.dataset}`), {training.step} steps on `{training.base_model}`
with the id `{training.base}`. Pictures within the range of the brand's own work:

| criterion | samples | own pictures |
|---|---|---|"""
    for criterion, share in sorted(training.metrics.inside.items()):
        yield f"| {criterion} | {share:.0%} | {training.metrics.own_inside.get(criterion, 0.0):.0%} |"


def _origin(manifest: Manifest, base: BaseManifest) -> Iterator[str]:
    components = MODELS[manifest.base_model].components
    yield f"""
## Base

This pack fits only one base: `{manifest.base_model}` with the id `{manifest.base}`.

| folder | from | revision | licence |
|---|---|---|---|"""
    for source in base.sources:
        licence = components[source.folder].licence if source.folder in components else "not stated"
        yield f"| {source.folder} | {source.repository or 'Onbrand'} | {source.revision or '-'} | {licence} |"


def _quoted(text: str) -> str:
    """Quoted for YAML and JSON."""
    return json.dumps(text, ensure_ascii=False)
