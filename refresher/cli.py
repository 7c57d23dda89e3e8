"""The command line: which commands there are. What each does is in `commands`."""

from typing import Annotated

import typer

from refresher import __version__, garbage
from refresher.commands import fleet, local, sidecar
from refresher.commands.endings import DONE
from refresher.host import end_on_sigterm

app = typer.Typer(
    help="Keeps a directory of a shared volume fresh: pulled, verified, published at once, and the app told.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run a command and exit with its code."""
    end_on_sigterm()
    # Whoever stays for long collects it from then on.
    garbage.put_off()
    app()


@app.callback(invoke_without_command=True)
def version(
    *, show: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False
) -> None:
    """Keep a directory of a shared volume fresh."""
    if show:
        print(__version__)
        raise typer.Exit(DONE)


for command in (
    local.run,
    local.once,
    local.check,
    local.plan,
    local.doctor,
    fleet.simulate,
    sidecar.refresh,
    sidecar.status,
    sidecar.rollback,
    sidecar.unpin,
    local.schema,
    local.demo,
):
    app.command()(command)
