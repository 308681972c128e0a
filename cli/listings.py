"""`noisyhw tasks` and `noisyhw rules`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where to look for data sets.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tasks(data_dir: Path | None, as_json: bool) -> None:
    """List the tasks, and where their data is."""
    from noisyhw.tasks import TASKS

    rows: list[dict[str, Any]] = [
        {
            "name": task.name,
            "title": task.title,
            "kind": task.kind,
            "inputs": task.inputs,
            "outputs": task.outputs,
            "options": {
                option: field.description for option, field in task.options_model.model_fields.items()
            },
            "data": None if (found := task.found(data_dir)) is None else str(found),
        }
        for task in TASKS.values()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        where = row["data"] or "not here yet; downloaded at first use"
        click.echo(
            f"{row['name']:13} {row['title']}\n"
            f"              {row['inputs']} -> {row['outputs']}, {row['kind']}; data: {where}"
        )
        for option, about in row["options"].items():
            click.echo(f"              task.{option}: {about or 'see its source'}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rules(as_json: bool) -> None:
    """List the learning rules, and what each must know."""
    from noisyhw.rules import get_rule, rule_names

    rows = []
    for name in rule_names():
        rule, decorrelated = get_rule(name)
        title = ("decorrelated " if decorrelated else "") + rule.title
        rows.append({"name": name, "title": title, "knows": rule.told, "decorrelated": decorrelated})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']:5} {row['title']:48} knows: {row['knows']}")
