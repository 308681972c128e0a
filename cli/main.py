"""`noisyhw`: the command line's entry point."""

from __future__ import annotations

import sys

import click

from noisyhw.errors import NoisyhwError

from .compare import compare
from .devices import devices
from .doctor import doctor
from .listings import rules, tasks
from .report import report
from .reproduce import reproduce
from .sweep import sweep
from .train import train
from .tune import tune


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="noisyhw")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
def cli(debug: bool) -> None:
    """Simulate learning on noisy neuromorphic hardware.

    Will this rule train a network on this device? For a start: noisyhw train --device rram --rule danp.
    """


for command in (train, compare, sweep, tune, report, devices, tasks, rules, reproduce, doctor):
    cli.add_command(command)


def _say_help(command: click.Command) -> None:
    """Let every command take -h; click asks a command for it once, whoever called it first."""
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        _say_help(inner)


_say_help(cli)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors are one message and an exit code: 2 for wrong usage, 1 for a failure."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = cli.main(arguments, prog_name="noisyhw", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except NoisyhwError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            _fail("not enough memory; lower batch, network.hidden or perturbation.passes", 1)
        _fail(
            f"unexpected {type(error).__name__}: {error}\nRun it again with --debug and report what it shows.",
            1,
        )
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    click.echo(f"noisyhw: {message}", err=True)
    sys.exit(code)
