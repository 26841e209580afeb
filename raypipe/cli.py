"""The command line: arguments in, a table, JSON or YAML out, an exit code.

Results go to stdout, progress and messages to stderr. Exit codes: 0 done; 3 planned, but something stays unplaced;
1 failed; 2 wrong usage, settings or input; with several clusters the first that applies of 2, 1, 3, 0 (130: aborted
with Ctrl-C, as shells have it). No traceback reaches the user; RAYPIPE_DEBUG=1 shows it.

Everything heavy is imported by the command that needs it, so that ``--help`` and a typing error are answered at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from raypipe import __version__
from raypipe.errors import (
    ClusterError,
    InputError,
    InvalidPlanError,
    OutputError,
    Problem,
    RaypipeError,
    ReplayError,
    SettingsError,
)
from raypipe.report import streams

if TYPE_CHECKING:
    from raypipe.model.plan import FleetPlan
    from raypipe.model.snapshot import FleetSnapshot

DONE, FAILED, WRONG_INPUT, UNPLACED = 0, 1, 2, 3

app = typer.Typer(
    rich_markup_mode=None,  # plain help: rich would take longer to import than raypipe takes to answer
    pretty_exceptions_enable=False,  # `main` reports what goes wrong
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        show_default=False,
        help="One fleet file, a folder with a fleet.yaml, or a saved snapshot; "
        "else manifests and folders that together are one cluster; - reads standard input.",
    ),
]
Contexts = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        metavar="NAME",
        show_default=False,
        help="A live cluster by its kubeconfig context (repeat it), read and never written to; "
        "in-cluster: the one that this runs in.",
    ),
]
Scope = Annotated[
    Literal["pending", "whole"],
    typer.Option(help="pending: what exists stays; whole: every pod anew, a floor to measure a cluster against."),
]
Compare = Annotated[
    Literal["on-demand"] | None,
    typer.Option(help="Also plan with on-demand offerings alone, and say what spot saves.", show_default=False),
]
Certify = Annotated[
    bool,
    typer.Option("--certify", help="Spend minutes on a better bound, and so on a smaller gap, of the same plan."),
]
Consolidate = Annotated[
    bool,
    typer.Option("--consolidate", help="Also give nodes back, or replace them, where moving their pods saves."),
]
RemoveAny = Annotated[
    bool,
    typer.Option("--remove-any", help="Nodes that raypipe did not buy may be given back, too."),
]
Output = Annotated[
    Literal["table", "json", "yaml"] | None,
    typer.Option(
        "-o",
        "--output",
        show_default=False,
        help="table (the default); json: everything; yaml: the objects to apply.",
    ),
]
AnswerOutput = Annotated[
    Literal["table", "json", "yaml"] | None,
    typer.Option("-o", "--output", show_default=False, help="table (the default), json or yaml."),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", show_default=False, help="Write the result to a file instead of stdout.")
]
PlanOut = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="Save the plan. Without -o: as JSON (as YAML if it is called so), and the table is printed as well.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no messages, only results and errors.")]
CatalogDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default=False,
        help="A catalogue of your own: instance_types.csv and offerings.csv. Default: the table that ships.",
    ),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="Settings in YAML; those of the fleet file lie above them."),
]
Provider = Annotated[
    str | None, typer.Option(metavar="NAME", show_default=False, help="aws, gcp or azure, where nothing else says so.")
]
Region = Annotated[
    str | None, typer.Option(metavar="NAME", show_default=False, help="The region, where nothing else says so.")
]

ExecutorName = Annotated[
    str,
    typer.Option(
        metavar="auto|serial|ray",
        help="serial: one cluster after another. ray: on many processes. auto: ray with --address or for 17 and more.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", show_default=False, help="A running Ray to plan on; auto: the one of this machine or job."
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default=False,
        help="A folder for what a plan hands on to the next: it is quicker where little has changed.",
    ),
]
LoopContexts = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        metavar="NAME",
        show_default=False,
        help="A live cluster by its kubeconfig context (repeat it); in-cluster: the one that this runs in.",
    ),
]
LoopState = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="DIR|configmap:NS/NAME",
        show_default=False,
        help="What outlives the loop: a folder, or a ConfigMap of the first cluster. Lost state costs time alone.",
    ),
]


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """raypipe plans the cheapest Kubernetes capacity for Ray and vLLM workloads and proves how close to optimal it is.

    It reads manifests or live clusters and prints a plan; only `raypipe apply` and `run --apply` change anything.

    \b
    raypipe plan examples/fleet                       the plan of a fleet, as a table
    raypipe plan manifests/ --out plan.json           … of one cluster, also saved
    raypipe plan --context prod                       … of a live cluster, and what it costs now
    raypipe explain plan.json Deployment/shop/web     why these nodes, why not cheaper
    raypipe prices --cpu 4 --memory 16Gi              what a shape costs
    raypipe run --context prod --apply                the loop: watch, plan and act
    raypipe status --state .raypipe                   what a loop sees, does and waits for
    """
    if version:
        streams.print_result(f"raypipe {__version__}\n")
        raise typer.Exit(DONE)


@app.command()
def plan(
    paths: Paths = None,
    context: Contexts = None,
    scope: Scope = "pending",
    compare: Compare = None,
    certify: Certify = False,
    consolidate: Consolidate = False,
    remove_any: RemoveAny = False,
    output: Output = None,
    out: PlanOut = None,
    quiet: Quiet = False,
    catalog: CatalogDir = None,
    settings: SettingsFile = None,
    provider: Provider = None,
    region: Region = None,
    executor: ExecutorName = "auto",
    address: Address = None,
    time_budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            show_default=False,
            help="Stop searching after so long. The default budget counts work, so that results reproduce.",
        ),
    ] = None,
    state: StateDir = None,
) -> None:
    """Plan the cheapest nodes; nothing is changed.

    Ctrl-C prints the best plan so far. Exit code 3: something stays unplaced.

    \b
    raypipe plan examples/fleet
    raypipe plan deploy/ raycluster.yaml --provider gcp --region us-central1
    kubectl get nodes,pods,deploy -A -o json | raypipe plan -
    raypipe plan fleet.yaml -o json --out plan.json
    raypipe plan fleet.yaml --scope whole --compare on-demand
    raypipe plan fleet.yaml --certify
    raypipe plan fleet.yaml --consolidate
    raypipe plan fleet.yaml -o yaml | kubectl diff -f -
    raypipe plan fleet.yaml --state .raypipe
    raypipe plan --context prod --context staging

    Of live clusters it says first what they cost now, and what the same pods would cost planned anew.
    """
    from raypipe import api
    from raypipe.report.progress import ProgressLine

    _writable(out)
    _folder(state)
    dealt_out = api.executor_called(executor)
    begun = time.monotonic()
    with ProgressLine(quiet=quiet) as progress:
        if context:
            progress(f"reading {len(context)} live cluster(s)")
        chosen = api.load_settings(settings)
        fleet = api.read(*(paths or ()), context=context or (), settings=chosen, provider=provider, region=region)
        fleet = api.consolidating(_with_state(fleet, state), consolidate=consolidate, remove_any=remove_any)
        prices = api.load_catalog(catalog)
        progress(f"planning {len(fleet.clusters)} cluster(s)")
        # Ray tells on stdout of a process that died, which is no part of the result.
        with _stopping(time_budget, quiet=quiet) as stop, contextlib.redirect_stdout(sys.stderr):
            planning = partial(
                api.plan, fleet, prices, executor=dealt_out, address=address, progress=progress, stop=stop
            )
            made = planning(scope=scope, compare_on_demand=compare is not None, certify=certify)
            whole = planning(scope="whole") if _begins_with_whole(fleet, scope, output) and not stop() else None
    if not quiet:
        _tell_unused(paths or (), settings=settings, provider=provider, region=region)
    _save_state(made, state)
    _report_plan(made, fleet, output, out, time.monotonic() - begun, quiet=quiet, whole=whole)


@app.command()
def prices(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TYPE|GPU]", show_default=False, help="Instance types, families or GPUs."),
    ] = None,
    cpu: Annotated[str, typer.Option(metavar="QUANTITY", help="Types with room for a pod that requests it.")] = "0",
    memory: Annotated[str, typer.Option(metavar="QUANTITY", help="As --cpu, for instance 16Gi.")] = "0",
    gpu: Annotated[int, typer.Option(metavar="COUNT", min=0, max=1000, help="As --cpu, GPUs.")] = 0,
    gpu_sku: Annotated[
        str | None, typer.Option(metavar="KIND,KIND", show_default=False, help="Kinds of GPU that will do: t4,l4.")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REPLICASxGPUS[:KIND,KIND]",
            show_default=False,
            help="Compare shapes (repeat it): so many replicas of --cpu and --memory with so many GPUs each.",
        ),
    ] = None,
    output: AnswerOutput = None,
    out: Out = None,
    catalog: CatalogDir = None,
    settings: SettingsFile = None,
    provider: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="aws, gcp or azure. Default: all; of shapes: aws."),
    ] = None,
    region: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Default: all; of shapes: the first.")
    ] = None,
) -> None:
    """What an instance type, a GPU or a shape costs.

    On demand and on spot, by region, with how often spot is interrupted within a month. Prices are those of the
    catalogue, with the settings' multiplier and the surcharge of burstable types.

    \b
    raypipe prices m7g.2xlarge
    raypipe prices t4 l4 --provider aws
    raypipe prices --cpu 4 --memory 16Gi
    raypipe prices --gpu 1 --gpu-sku t4,l4 --memory 24Gi
    raypipe prices --shape 4x1:t4 --shape 2x2:t4,l4 --shape 1x8:a100 --cpu 3
    """
    from raypipe import api
    from raypipe import prices as pricing
    from raypipe.report import prices as tables

    _writable(out)
    replica = pricing.pod(cpu=cpu, memory=memory, gpus=gpu, kinds=gpu_sku)
    if not (words or shape or replica):
        raise SettingsError("prices: name a TYPE or GPU, or say --cpu, --memory, --gpu or --shape; see --help")
    if words and shape:
        raise SettingsError("prices: --shape beside TYPE|GPU; name kinds within the shape, as --shape 2x1:t4,l4")
    table, chosen = api.load_catalog(catalog), api.load_settings(settings)
    if shape:
        shapes = [pricing.parse_shape(text) for text in shape]
        compared = pricing.compare_shapes(
            table, shapes, replica=replica, provider=provider, region=region, settings=chosen
        )
        return _deliver_data(compared, tables.render_shapes, output, out)
    quotes = pricing.quotes(table, words=words or (), spec=replica, provider=provider, region=region, settings=chosen)
    return _deliver_data(quotes, tables.render_quotes, output, out)


@app.command()
def replay(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAPSHOT", help="What `raypipe snapshot` wrote.")],
    scope: Scope = "pending",
    compare: Compare = None,
    output: Output = None,
    out: PlanOut = None,
    quiet: Quiet = False,
    catalog: CatalogDir = None,
) -> None:
    """Repeat the decision of a saved snapshot.

    It is the same plan, byte for byte apart from created_at. A catalogue other than the one
    that the snapshot was taken with is refused.

    \b
    raypipe snapshot fleet.yaml --out snapshot.json
    raypipe replay snapshot.json -o json
    """
    from raypipe import api
    from raypipe.report.progress import ProgressLine

    _writable(out)
    begun = time.monotonic()
    with ProgressLine(quiet=quiet) as progress:
        fleet = _saved_snapshot(snapshot)
        made = api.replay(fleet, catalog, scope=scope, progress=progress, compare_on_demand=compare is not None)
    if fleet.catalog is None and not quiet:
        streams.tell(f"{snapshot} names no catalogue, so it cannot be told whether this is the same one")
    _report_plan(made, fleet, output, out, time.monotonic() - begun, quiet=quiet)


@app.command()
def snapshot(
    paths: Paths = None,
    context: Contexts = None,
    certify: Certify = False,
    consolidate: Consolidate = False,
    remove_any: RemoveAny = False,
    out: Out = None,
    quiet: Quiet = False,
    catalog: CatalogDir = None,
    settings: SettingsFile = None,
    provider: Provider = None,
    region: Region = None,
    state: StateDir = None,
) -> None:
    """Save what a plan would be computed from.

    That is all that was read, the settings, what --state holds, and the catalogue's digest; `replay` repeats the
    decision.
    A bug report is such a file. Look through it before you send it: it holds names, labels and requests. Of a live
    cluster no Secret and no ConfigMap is read, and no environment value, command or other annotation is in it.

    \b
    raypipe snapshot examples/fleet --out snapshot.json
    raypipe snapshot --context prod --out snapshot.json
    """
    from raypipe import api

    _writable(out)
    chosen = api.load_settings(settings)
    fleet = api.read(*(paths or ()), context=context or (), settings=chosen, provider=provider, region=region)
    fleet = _with_state(api.certifying(fleet) if certify else fleet, state)
    fleet = api.consolidating(fleet, consolidate=consolidate, remove_any=remove_any)
    if not quiet:
        _tell_unused(paths or (), settings=settings, provider=provider, region=region)
    _deliver(api.snapshot(fleet, catalog).to_json(), out, quiet=quiet, data=True)
    errors = [cluster for cluster in fleet.clusters if cluster.error is not None]
    for cluster in errors:
        streams.tell(f"{cluster.name}: {cluster.error}")
    raise typer.Exit(WRONG_INPUT if errors else DONE)


@app.command()
def explain(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.json", help="A plan that `raypipe plan --out` wrote.")],
    about: Annotated[str, typer.Argument(metavar="POD|NODE", help="A pod key, a part of one, or a node's name.")],
    output: AnswerOutput = None,
    out: Out = None,
) -> None:
    """Say why: for pods (placed or not) and for nodes.

    Which nodes pods got and why not cheaper ones, which filter removed the last candidate, what a node is for.

    \b
    raypipe explain plan.json Deployment/shop/web
    raypipe explain plan.json web
    raypipe explain plan.json research-3f9a1c0b77-0001
    """
    from raypipe.report import explain as explaining

    _writable(out)
    _deliver_data(explaining.answers(_saved_plan(plan), about), explaining.render, output, out)


@app.command()
def run(
    paths: Paths = None,
    context: LoopContexts = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Carry decisions out. Without, everything is a dry run: nothing is written.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="One cycle, and end.")] = False,
    state: LoopState = None,
    audit: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Append a line of JSON for each decision.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", show_default=False, help="Serve /metrics, /healthz and /readyz there."),
    ] = None,
    quiet: Quiet = False,
    catalog: CatalogDir = None,
    settings: SettingsFile = None,
    provider: Provider = None,
    region: Region = None,
    executor: ExecutorName = "auto",
    address: Address = None,
) -> None:
    """Watch live clusters, plan whenever they change, and with --apply carry plans out, until Ctrl-C.

    It may be ended and started at any moment, by a kill too: what is under way is seen in the clusters. One loop at a
    time acts on a cluster; others wait for its Lease. `raypipe pause` stops all that share the --state.

    \b
    raypipe run --context prod                              a dry run: what it would do
    raypipe run --context prod --apply --state .raypipe
    raypipe run fleet.yaml --apply --state configmap:default/raypipe
    raypipe run --context prod --apply --once
    """
    from raypipe import api
    from raypipe.controller import service
    from raypipe.controller.start import Options

    api.executor_called(executor)
    options = Options(
        paths=tuple(paths or ()),
        contexts=tuple(context or ()),
        settings=api.load_settings(settings),
        provider=provider,
        region=region,
        catalog=catalog,
        executor=executor,
        address=address,
        state=state,
        acts=apply,
    )

    def say(line: str) -> None:
        if not quiet:
            streams.print_result(line + "\n")

    outside = service.Outside(say=say, complain=streams.tell, audit=audit, listen=listen)
    raise typer.Exit(service.serve(options, outside, once=once))


@app.command()
def pause(state: LoopState = None, context: LoopContexts = None) -> None:
    """Stop acting, for every loop that shares the state, within one cycle; they go on to watch and to report.

    \b
    raypipe pause --state .raypipe
    raypipe pause --state configmap:default/raypipe --context prod
    """
    from raypipe.controller import service

    streams.tell(service.pause(_stated(state, "pause"), tuple(context or ())))


@app.command()
def resume(state: LoopState = None, context: LoopContexts = None) -> None:
    """Act again after `raypipe pause`.

    \b
    raypipe resume --state .raypipe
    """
    from raypipe.controller import service

    streams.tell(service.resume(_stated(state, "resume"), tuple(context or ())))


def _stated(state: str | None, command: str) -> str:
    if state is None:
        raise SettingsError(f"{command}: name the --state of the loop; see --help")
    return state


@app.command()
def status(
    state: LoopState = None,
    context: Contexts = None,
    once: Annotated[bool, typer.Option("--once", help="Print it and end, on a terminal too.")] = False,
    output: AnswerOutput = None,
    out: Out = None,
) -> None:
    """What the loop sees, does and waits for.

    On a terminal the table is live, until Ctrl-C. What a loop with this --state has said last, and with --context how
    the clusters are now, also without any loop.

    \b
    raypipe status --state .raypipe
    raypipe status --state .raypipe -o json
    raypipe status --state configmap:default/raypipe --context prod
    raypipe status --context prod --once
    """
    from datetime import UTC, datetime

    from raypipe.controller import status_sources
    from raypipe.report import status as tables
    from raypipe.report.live import live

    _writable(out)
    if state is None and not context:
        raise SettingsError("status: name the --state of a loop, or a cluster by --context; see --help")
    look = partial(status_sources.status_of, state, tuple(context or ()))
    if (output or "table") == "table" and out is None and sys.stdout.isatty() and not once:
        return live(lambda: tables.render(look(), datetime.now(UTC), _width(None)))
    now = datetime.now(UTC)
    return _deliver_data(look(), lambda found, width: tables.render(found, now, width), output, out)


@app.command()
def apply(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.json", help="A plan that `raypipe plan --out` wrote.")],
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Do not stay until pods are bound: nodes come up open, the scheduler binds."),
    ] = False,
    quiet: Quiet = False,
    settings: SettingsFile = None,
) -> None:
    """Carry out a plan of live clusters, after showing it.

    Each action names what it relies on; one that no longer holds is skipped and told, and the
    others go on. It stays until what it bought is up and its pods are bound. Carried out twice, a
    plan buys once, so after Ctrl-C the same command goes on.
    Exit code 1: something was skipped or failed. 2: the plan is of files.

    \b
    raypipe plan --context prod --out plan.json
    raypipe apply plan.json
    """
    from raypipe import api
    from raypipe.controller import applying
    from raypipe.model.plan import Scope as PlanScope
    from raypipe.report.actions import render_actions, render_results
    from raypipe.report.progress import ProgressLine

    made, chosen = _saved_plan(plan), api.load_settings(settings)
    if made.scope is PlanScope.WHOLE:
        raise InputError(Problem(file=str(plan), field="scope", found="whole", expected="pending: whole is a floor"))
    files = [f"clusters[{number}].context" for number, one in enumerate(made.clusters) if one.context is None]
    if files:
        expected = "the context of a live cluster (raypipe plan --context NAME)"
        raise InputError([Problem(file=str(plan), field=field, found="null", expected=expected) for field in files])
    streams.print_result("".join(render_actions(one) for one in made.clusters))
    if made.actions and not yes and not typer.confirm("Carry this out?", err=True):
        raise typer.Exit(FAILED)
    whole = True
    for one in made.clusters:
        with ProgressLine(quiet=quiet) as progress:
            telling = applying.Telling(progress=progress, show=streams.print_result)
            try:
                applied = applying.apply(one, chosen, telling, wait=not no_wait)
            except ClusterError as error:
                streams.tell(f"{one.name}: {error}")
                whole = False
                continue
        whole = whole and applied.is_whole and one.error is None and not one.stale
        streams.print_result(render_results(one, applied.results, applied.waiting))
    raise typer.Exit((UNPLACED if made.unplaced else DONE) if whole else FAILED)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; every failure ends here, in words."""
    streams.prepare()
    try:
        typer.main.get_command(app).main(args=argv, prog_name="raypipe")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else DONE if ended.code is None else FAILED
    except RaypipeError as error:
        return _refused(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches the user
        return _internal(error)
    return DONE


def _refused(error: RaypipeError) -> int:
    """Say what is wrong, and whose fault it is by the exit code."""
    streams.tell(str(error))
    if isinstance(error, InvalidPlanError):
        streams.tell("please report it with the file written by `raypipe snapshot`")
    return WRONG_INPUT if isinstance(error, InputError | SettingsError | ReplayError) else FAILED


def _internal(error: Exception) -> int:
    if os.environ.get("RAYPIPE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    text = " ".join(str(error).split())[:300]
    streams.tell(
        f"internal error ({type(error).__name__}: {text}): "
        "please report it with the file written by `raypipe snapshot` (RAYPIPE_DEBUG=1 shows where it happened)"
    )
    return FAILED


def _width(out: Path | None) -> int | None:
    """Columns of the terminal, or None where the output goes elsewhere and nothing need be wrapped."""
    import shutil

    return shutil.get_terminal_size().columns if out is None and sys.stdout.isatty() else None


def _begins_with_whole(fleet: FleetSnapshot, scope: str, output: str | None) -> bool:
    """Whether the table begins with what live clusters would cost planned anew; data has one plan alone."""
    live = any(cluster.context is not None and cluster.error is None for cluster in fleet.clusters)
    return live and scope == "pending" and (output or "table") == "table"


def _report_plan(
    plan: FleetPlan,
    fleet: FleetSnapshot,
    output: str | None,
    out: Path | None,
    seconds: float,
    *,
    quiet: bool,
    whole: FleetPlan | None = None,
) -> None:
    """Print or write the plan, name broken clusters on stderr too, and leave with the plan's exit code."""
    from raypipe.report import text

    saved = None
    if out is not None and output is None:
        form = "yaml" if out.suffix in (".yaml", ".yml") else "json"
        saved = str(out) if form == "json" else None  # `explain` reads a plan, not the objects that it asks for
        _deliver(_plan_as(plan, form), out, quiet=quiet)
        out = None
    if (output or "table") == "table":
        told = text.Telling(fleet=fleet, seconds=seconds, width=_width(out), saved_as=saved, whole=whole)
        _deliver(text.render(plan, told), out, quiet=quiet)
    else:
        _deliver(_plan_as(plan, output or "json"), out, quiet=quiet, data=True)
    for cluster in plan.clusters:
        if cluster.error is not None:
            streams.tell(f"{cluster.name}: {cluster.error}")
    raise typer.Exit(_exit_code(plan))


def _plan_as(plan: FleetPlan, form: str) -> str:
    from raypipe.report import objects

    return objects.render(plan) if form == "yaml" else plan.to_json()


def _exit_code(plan: FleetPlan) -> int:
    """The first that applies of 2, 3, 0 (1: a cluster's planning failed, which ends the whole run so far)."""
    if any(cluster.error is not None for cluster in plan.clusters):
        return WRONG_INPUT
    return UNPLACED if plan.unplaced else DONE


def _deliver(text: str, out: Path | None, *, quiet: bool, data: bool = False) -> None:
    """Write the result to its file, or print it."""
    text = text if text.endswith("\n") else text + "\n"
    if out is None:
        return streams.print_result(text, data=data)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or 'cannot be written'}") from None
    if not quiet:
        streams.tell(f"wrote {out}")
    return None


def _deliver_data[T](found: T, render: Callable[[T, int | None], str], output: str | None, out: Path | None) -> None:
    """Deliver values as a table, or as the data that the table is made of."""
    import msgspec

    from raypipe.report.objects import dump

    match output or "table":
        case "json":
            text = msgspec.json.format(msgspec.json.encode(found), indent=1).decode()
        case "yaml":
            text = dump(msgspec.to_builtins(found))
        case _:
            text = render(found, _width(out))
    _deliver(text, out, quiet=True, data=output in ("json", "yaml"))


def _writable(out: Path | None) -> None:
    """Refuse an impossible --out before the work, not after it."""
    if out is not None and out.is_dir():
        raise _unwritable(out, "a folder")
    if out is not None and not out.parent.is_dir():
        raise _unwritable(out, f"no folder {out.parent}")
    if out is not None and not os.access(out if out.exists() else out.parent, os.W_OK):
        raise _unwritable(out, "no permission to write there")


def _unwritable(out: Path, found: str) -> InputError:
    return InputError(Problem(file=str(out), field="--out", found=found, expected="a file that can be written"))


def _folder(state: Path | None) -> None:
    """Make the folder of --state, or refuse one that cannot be, before the work and not after it."""
    if state is None:
        return
    try:
        state.mkdir(parents=True, exist_ok=True)
        writable = os.access(state, os.W_OK | os.X_OK)
        found = "no permission to write there"
    except OSError as error:
        writable, found = False, error.strerror or "no folder"
    if not writable:
        raise InputError(Problem(file=str(state), field="--state", found=found, expected="a folder to write to"))


def _with_state(fleet: FleetSnapshot, state: Path | None) -> FleetSnapshot:
    from raypipe.state import read_state

    return fleet if state is None else read_state(state, fleet)


def _save_state(plan: FleetPlan, state: Path | None) -> None:
    """Hand on what the plan knows; that it cannot be costs the next one time, and this one nothing."""
    from raypipe.state import write_state

    if state is None:
        return
    try:
        write_state(state, plan.pools)
    except OutputError as error:
        streams.tell(f"{error}: the next plan starts from nothing")


@contextlib.contextmanager
def _stopping(time_budget: float | None, *, quiet: bool) -> Iterator[_Stop]:
    """A `stop` that turns true with the first Ctrl-C or the end of the time budget; the second Ctrl-C aborts."""
    stop = _Stop(time_budget)

    def interrupted(_signal: int, _frame: object) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    try:
        before = signal.signal(signal.SIGINT, interrupted)
    except ValueError:  # not the main thread (a test, a notebook): Ctrl-C stays whose it is
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.asked and not quiet:
        streams.tell("stopped by Ctrl-C: this is the best plan so far")


class _Stop:
    """Whether to stop searching: asked between solver calls."""

    def __init__(self, time_budget: float | None) -> None:
        self.asked = False
        self._end = None if time_budget is None else time.monotonic() + time_budget

    def __call__(self) -> bool:
        return self.asked or (self._end is not None and time.monotonic() >= self._end)


def _tell_unused(paths: Sequence[Path], **given: object) -> None:
    """Say that options which a saved snapshot answers itself have no effect."""
    unused = [f"--{name}" for name, value in given.items() if value is not None]
    if unused and any(_is_snapshot(path) for path in paths):
        streams.tell(f"a snapshot brings its own settings and places: {', '.join(unused)} without effect")


def _is_snapshot(path: Path) -> bool:
    from raypipe.model.snapshot import SNAPSHOT_SCHEMA

    try:
        return path.suffix == ".json" and _schema(path.read_bytes()) == SNAPSHOT_SCHEMA
    except (OSError, ValueError, RecursionError):
        return False  # not one that could be read, then


def _saved_plan(path: Path) -> FleetPlan:
    from raypipe.model.plan import PLAN_SCHEMA, FleetPlan

    return _decoded(path, FleetPlan.from_json, PLAN_SCHEMA, "a plan as `raypipe plan --out plan.json` writes it")


def _saved_snapshot(path: Path) -> FleetSnapshot:
    from raypipe.model.snapshot import SNAPSHOT_SCHEMA, FleetSnapshot

    return _decoded(path, FleetSnapshot.from_json, SNAPSHOT_SCHEMA, "a snapshot as `raypipe snapshot` writes it")


def _decoded[T](path: Path, decode: Callable[[bytes], T], schema: str, expected: str) -> T:
    """Read a file that raypipe wrote; what it says it is counts first, then the decoder says which field is wrong."""
    try:
        data = path.read_bytes()
        if (named := _schema(data)) not in (None, schema):
            raise InputError(Problem(file=str(path), field="schema", found=repr(named)[:60], expected=repr(schema)))
        return decode(data)
    except OSError as error:
        found = error.strerror or type(error).__name__
    except (ValueError, RecursionError) as error:
        found = str(error)
    raise InputError(Problem(file=str(path), found=found, expected=expected))


@dataclass(frozen=True, slots=True)
class _Named:
    """What a file says it is; None: nothing."""

    schema: Any = None


def _schema(data: bytes) -> object:
    """The schema that a JSON object names, None where it names none."""
    import msgspec

    return msgspec.json.decode(data, type=_Named).schema
