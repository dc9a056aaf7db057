"""`counterpoise convert`: weights that are kept as pickles, made safetensors."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import ModelError
from pipelines.spec.base import quantity
from service.cli.output import console


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's folder, or one file: .bin, .ckpt, .pt or .pth.")],
    out: Annotated[Path, typer.Option(help="Folder or file to write.")],
) -> None:
    """Make safetensors of weights that are pickles. Tensors alone are read: no code in the files is run."""
    if not checkpoint.exists():
        raise ModelError(f"{checkpoint} is not there; give a checkpoint's folder, or a file of weights")
    if checkpoint.is_file() and out.suffix != ".safetensors":
        raise ModelError(f"--out: {out} is to be one file; let its name end in .safetensors")
    from pipelines.progress import quiet

    quiet()  # first: the libraries talk while they are imported
    from pipelines.backbones.convert import convert as convert_checkpoint

    count = 0
    for file in convert_checkpoint(checkpoint, out):
        console.print(f"  {file}", markup=False, soft_wrap=True)
        count += 1
    console.print(f"{quantity(count, 'file')} of weights converted: {out}", soft_wrap=True)
