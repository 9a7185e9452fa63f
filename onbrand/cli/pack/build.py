"""`onbrand pack build`: makes a pack from a LoRA."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from onbrand.cli.output import silence_logs
from onbrand.config import load_settings


def build(
    lora: Annotated[
        Path, typer.Option(metavar="FILE", help="The LoRA: a .safetensors file named as by diffusers or ai-toolkit.")
    ],
    name: Annotated[str, typer.Option(help="The brand's name, which people see.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The pack's folder, which must not exist yet.")],
    version: Annotated[str, typer.Option(help="The pack's version, which people see.")] = "1",
    prompt_suffix: Annotated[
        str, typer.Option(help='The text added to the end of every prompt, such as ", onbrand style".')
    ] = "",
    alpha: Annotated[float | None, typer.Option(help="The LoRA's alpha, if its file does not say it.")] = None,
    scale: Annotated[float, typer.Option(help="How strongly the LoRA acts.")] = 1.0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps. Default: the model's.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Guidance scale. Default: the model's.")] = None,
    shift: Annotated[float | None, typer.Option(help="Shift of the scheduler's sigmas. Default: the model's.")] = None,
    guidance_interval: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Guide only at these noise levels (1 to 0). Default: at all."),
    ] = None,
    example: Annotated[
        list[str] | None, typer.Option(help="A prompt that the pack draws well. May be given several times.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option(help="Draw four pictures of the examples, which the page shows before anybody has drawn.")
    ] = True,
) -> None:
    """Make a pack from a LoRA, for the configured model. Loads the model twice, to measure the LoRA's effect."""
    from onbrand.hidream.load import probe_lora
    from onbrand.hidream.packaging.build import build_pack
    from onbrand.hidream.packaging.pictures import draw_pictures
    from onbrand.packs.base import configured_base
    from onbrand.packs.lora_coverage import left_out, told

    silence_logs()
    base = configured_base(load_settings())
    pack = build_pack(
        base,
        lora,
        out,
        name=name,
        version=version,
        prompt_suffix=prompt_suffix,
        probe=probe_lora,
        alpha=alpha,
        scale=scale,
        steps=steps,
        guidance_scale=guidance_scale,
        shift=shift,
        guidance_interval=guidance_interval,
        examples=example or (),
        draw=partial(draw_pictures, base) if pictures else None,
    )
    typer.echo(f"{pack.manifest.name}, version {pack.manifest.version}: {pack.id}")
    modules = pack.manifest.lora.adapted_modules
    typer.echo(f"its LoRA adapts {told(modules, left_out(modules, base))}")
    typer.echo(f"next: onbrand pack add {out}")
