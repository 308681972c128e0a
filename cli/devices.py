"""`noisyhw devices`: list, show, check, schema; and from :mod:`.own_device` new, plot, fit, compare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .own_device import compare, fit, new, plot


@click.group()
def devices() -> None:
    """List, show, check and compare device cards, and make your own."""


for command in (new, plot, fit, compare):
    devices.add_command(command)


@devices.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_devices(as_json: bool) -> None:
    """List the shipped device cards, and those of installed plug-ins."""
    from noisyhw.cards import load_device, shipped_devices
    from noisyhw.cards.plugged import device_cards
    from noisyhw.errors import NoisyhwError

    cards = [load_device(name) for name in sorted(shipped_devices())]
    for name in sorted(device_cards()):
        try:
            cards.append(load_device(name))
        except NoisyhwError as error:
            click.echo(f"plug-in device '{name}' is left out: {error}", err=True)
    if as_json:
        rows = [
            {"name": c.name, "technology": c.technology, "title": c.title, "update": c.update.kind}
            for c in cards
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for card in cards:
        click.echo(f"{card.name:8} {card.technology:8} {card.title}")


@devices.command()
@click.argument("device", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(device: str, as_json: bool) -> None:
    """Show a card in full, with what it inherits, its sources, and how its numbers follow from these."""
    import yaml

    from noisyhw.cards import load_device

    card = load_device(device)
    content = card.model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(content, indent=2))
        return
    del content["derived"]
    click.echo(yaml.safe_dump(content, sort_keys=False, width=100, allow_unicode=True).rstrip())
    if card.derived:
        click.echo("derived:")
        for line in _derived(card):
            click.echo(line)


def _derived(card: Any) -> Iterator[str]:
    """One line of YAML for each number that follows from a source, with what it gives as a comment."""
    import yaml

    from noisyhw.cards.derived import agrees, numbers
    from noisyhw.cards.device import PROVENANCE

    stated = numbers(card, PROVENANCE)
    for entry in card.derived:
        content = entry.model_dump(mode="json", exclude_defaults=True)
        line = yaml.safe_dump(content, sort_keys=False, width=10_000, default_flow_style=True).strip()
        value, own = entry.value(), stated.get(entry.field)
        same = own is not None and agrees(own, value)
        yield f"- {line} # gives {value:.6g}" + ("" if same else f", and this card says {own}")


@devices.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> int:
    """Check card files; exit code 2 if one is wrong."""
    from noisyhw.cards import load_device
    from noisyhw.errors import NoisyhwError

    wrong = 0
    for file in files:
        try:
            card = load_device(Path(file))
        except NoisyhwError as error:
            wrong += 1
            click.echo(str(error) + ("" if Path(file).exists() else _instead_of(file)), err=True)
        else:
            click.echo(f"{file}: sound ({card.name}, {card.update.kind} update)")
    return 2 if wrong else 0


def _instead_of(file: str) -> str:
    """Say what to give in place of a file that is not there."""
    from noisyhw.cards import shipped_devices

    if file in shipped_devices():
        return f". '{file}' is a shipped card; look at it with: noisyhw devices show {file}"
    return ". Give the path of a card's .yaml file; noisyhw devices new makes one"


@devices.command()
def schema() -> None:
    """Print the card's JSON Schema, for editors."""
    from noisyhw.cards import device_json_schema

    click.echo(json.dumps(device_json_schema(), indent=2))
