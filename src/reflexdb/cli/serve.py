"""`reflexdb serve`: the control plane, in this process, until it is told to end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from reflexdb.api import settings
from reflexdb.cli import serve_oidc
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.output import note
from reflexdb.cli.session import session
from reflexdb.model.observing import LogForm, LogLevel, Observing

_HAS_PASSWORD = re.compile(r"//[^/@]*:[^/]*@|[?&]password=", re.IGNORECASE)
RECORDS_HELP = (
    "postgresql://user@host:port/database to keep the records in; else a SQLite file with the data. "
    "The password: in the file that REFLEXDB_RECORDS_PASSWORD_FILE names, in this variable, or in ~/.pgpass."
)

Records = Annotated[
    str | None,
    typer.Option(
        envvar="REFLEXDB_RECORDS",
        help=RECORDS_HELP,
    ),
]


def _number(name: str) -> Any:
    """The option of a setting that is declared with the API's."""
    setting = settings.setting(name)
    return typer.Option(setting.option, envvar=setting.variable, min=setting.least, help=setting.help)


def _default(name: str) -> int:
    return settings.setting(name).default


def serve(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Where everything is kept; made on first start.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8400,
    public_url: Annotated[
        str | None, typer.Option(help="Address under which clients reach it, where that is another.")
    ] = None,
    min_sync_interval: Annotated[
        int | None, typer.Option(min=1, help="Shortest interval between two polls of a source, in seconds.")
    ] = None,
    records: Records = None,
    builds_at_once: Annotated[
        int, typer.Option(min=1, max=64, envvar="REFLEXDB_BUILDS_AT_ONCE", help="Builds carried out at the same time.")
    ] = 1,
    build_timeout: Annotated[
        int, typer.Option(min=1, envvar="REFLEXDB_BUILD_TIMEOUT", help="Seconds that one build may take.")
    ] = 1800,
    rate_limit: Annotated[int, _number("rate_limit")] = _default("rate_limit"),
    rate_burst: Annotated[int, _number("rate_burst")] = _default("rate_burst"),
    auth_failures: Annotated[int, _number("auth_failures")] = _default("auth_failures"),
    max_requests: Annotated[int, _number("max_requests")] = _default("max_requests"),
    max_connections: Annotated[int, _number("max_connections")] = _default("max_connections"),
    request_timeout: Annotated[int, _number("request_timeout")] = _default("request_timeout"),
    cors_origin: Annotated[
        list[str] | None, typer.Option(envvar=settings.CORS_ORIGIN_VARIABLE, help=settings.CORS_ORIGIN_HELP)
    ] = None,
    cors_credentials: Annotated[
        bool,
        typer.Option(
            "--cors-credentials", envvar=settings.CORS_CREDENTIALS_VARIABLE, help=settings.CORS_CREDENTIALS_HELP
        ),
    ] = False,
    log_level: Annotated[
        LogLevel, typer.Option(help="The least that the log tells.", envvar="REFLEXDB_LOG_LEVEL")
    ] = LogLevel.INFO,
    log_format: Annotated[
        LogForm | None,
        typer.Option(
            help="Write the log to standard error too, in this form; logs/control.log is always JSON lines.",
            envvar="REFLEXDB_LOG_FORMAT",
        ),
    ] = None,
    metrics_listen: Annotated[
        str | None,
        typer.Option(
            help="Serve metrics on this HOST:PORT, to whoever reaches it, instead of at /metrics.",
            envvar="REFLEXDB_METRICS_LISTEN",
        ),
    ] = None,
    metrics_token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that /metrics asks for.", envvar="REFLEXDB_METRICS_TOKEN_FILE"),
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Stop every instance at the end; else they go on serving.")
    ] = False,
    oidc_issuer: serve_oidc.Issuer = None,
    oidc_audience: serve_oidc.Audience = None,
    oidc_client_id: serve_oidc.ClientId = None,
    oidc_token_use: serve_oidc.TokenUse = None,
    oidc_group_claim: serve_oidc.GroupClaim = None,
    oidc_customer_claim: serve_oidc.CustomerClaim = None,
    oidc_first_login: serve_oidc.FirstLogin = None,
    oidc_jwks_url: serve_oidc.JwksUrl = None,
    oidc_clock_skew: serve_oidc.ClockSkew = None,
    oidc_refetch: serve_oidc.Refetch = None,
) -> None:
    """Run the control plane. The first start makes the account and prints its management key once."""
    # Imported here, so that every other command starts without the server's libraries.
    from reflexdb.api.serve import run
    from reflexdb.control.rooms import BuildLimits

    place = data or session(context).data
    note(f"control plane on {place}, port {port or 'free'} of {host}; Ctrl-C ends it")
    oidc = {
        "issuer": oidc_issuer,
        "audience": serve_oidc.words(oidc_audience),
        "client_id": serve_oidc.words(oidc_client_id),
        "token_use": oidc_token_use,
        "group_claim": serve_oidc.words(oidc_group_claim),
        "customer_claim": oidc_customer_claim,
        "first_login": oidc_first_login,
        "jwks_url": oidc_jwks_url,
        "clock_skew": serve_oidc.number(oidc_clock_skew),
        "refetch": serve_oidc.number(oidc_refetch),
    }
    limits = settings.ApiSettings(
        rate_limit=rate_limit,
        rate_burst=rate_burst,
        auth_failures=auth_failures,
        max_requests=max_requests,
        max_connections=max_connections,
        request_timeout=request_timeout,
        cors_origins=tuple(cors_origin or ()),
        cors_credentials=cors_credentials,
    )
    observing = Observing(log_level, log_format, metrics_listen, metrics_token_file)
    run(
        place,
        host,
        port,
        ephemeral=ephemeral,
        builds=BuildLimits(builds_at_once, build_timeout),
        min_sync_interval_s=min_sync_interval,
        public_url=public_url,
        records=records_address(context, records),
        oidc=oidc,
        api=limits,
        observing=observing,
    )


def records_address(context: typer.Context, records: str | None) -> str | None:
    """The records' address as given. One with a password is refused as an argument, which everybody here can read."""
    given = context.get_parameter_source("records")
    if records and given is not None and given.name == "COMMANDLINE" and _HAS_PASSWORD.search(records):
        raise CommandFailed(
            Exit.USAGE,
            "--records must not hold a password, which every user of this machine could read; "
            "put it into a file and name that in REFLEXDB_RECORDS_PASSWORD_FILE",
        )
    return records or None
