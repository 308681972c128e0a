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


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def rules(context: click.Context, as_json: bool) -> None:
    """List the learning rules: what each must know, its passes a batch, and what it keeps in digital memory."""
    from noisyhw.rules import RULES, get_rule, rule_names

    if context.invoked_subcommand is not None:
        return
    rows: list[dict[str, Any]] = []
    for name in rule_names():
        rule, decorrelated = get_rule(name)
        title = ("decorrelated " if decorrelated else "") + rule.title
        rows.append(
            {
                "name": name,
                "title": title,
                "knows": rule.told,
                "decorrelated": decorrelated,
                "passes": _passes(rule),
                "memory": _memory(rule),
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(
        "A leading d: every layer's input is decorrelated. Passes: of a batch, the baseline among them.\n"
    )
    headings: dict[str, Any] = {
        "name": "rule",
        "title": "",
        "knows": "knows",
        "passes": "passes",
        "memory": "digital memory",
    }
    plain = [headings, *(row for row in rows if row["name"] in RULES)]
    widths = {key: max(len(str(row[key])) for row in plain) for key in headings}
    for row in plain:
        click.echo("  ".join(str(row[key]).ljust(widths[key]) for key in headings).rstrip())


@rules.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_rules(context: click.Context, as_json: bool) -> None:
    """The same as without a subcommand."""
    context.parent.invoked_subcommand = None  # type: ignore[union-attr]  # there is one
    context.parent.invoke(rules, as_json=as_json)  # type: ignore[union-attr]


@rules.command()
@click.argument("name", metavar="NAME|FILE:CLASS")
def show(name: str) -> None:
    """Show a rule's formula, source, knowledge, cost and options. A file that is named here is run."""
    import inspect

    from noisyhw.cards import load_experiment
    from noisyhw.rules import class_of

    kind, decorrelated = class_of(load_experiment(None, {"device": "ideal", "rule.name": name}).rule)
    rule = kind()
    click.echo(f"{name}: {'decorrelated ' if decorrelated else ''}{rule.title}\n")
    click.echo(inspect.cleandoc(kind.__doc__ or "Its class has no docstring."))
    click.echo(f"\nknows: {rule.told}")
    click.echo(f"passes of a batch: {_passes(rule)}")
    click.echo(f"digital memory: {_memory(rule)}")
    if rule.chain_only:
        click.echo("networks: dense layers one after another")
    for option, field in kind.options_model.model_fields.items():
        click.echo(f"rule.{option} (default {field.default}): {field.description or 'see its source'}")


def _passes(rule: Any) -> str:
    """How often a batch is read, the baseline counted."""
    few, many = len(rule.probes(2)), len(rule.probes(3))
    return str(1 + few) if few == many else "1 + one a layer"


def _memory(rule: Any) -> str:
    """What a rule keeps, for each weight and unit."""
    kept = [f"{one} (a weight)" for one in rule.per_weight] + [f"{one} (a unit)" for one in rule.per_unit]
    return ", ".join(kept) or "none"
