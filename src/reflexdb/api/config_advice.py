"""/v1/databases/{id}/config/...: a file held against the source, and relations proposed from the source's names.

Extensions of the published API. Neither stores anything.
"""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from reflexdb.api.context import Account, Controlled, errors
from reflexdb.model.errors import InvalidRequest

router = APIRouter(prefix="/v1/databases/{id}/config", tags=["Databases"])
_YAML = {"application/yaml": {"schema": {"type": "string"}}}


class ConfigCheck(BaseModel):
    model_config = ConfigDict(extra="forbid")

    checked: bool = Field(description="Whether the source could be asked, and has all that the file names")
    reason: str | None = Field(description="Why the file could not be held against the source")


class ProposedRelation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    table: str
    column: str
    references: str = Field(description="Table and column, with a dot between")
    values: int = Field(description="Different values of the column that were looked at")
    found: int = Field(description="How many of them the other table has")
    accepted: bool = Field(description="Whether `config` has it")


class ConfigProposal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    config: str = Field(description="A reflexdb.yaml with the accepted relations, to be looked at and stored")
    relations: list[ProposedRelation]


@router.post(
    "/check",
    operation_id="checkSchemaConfig",
    summary="Hold a reflexdb.yaml against the source",
    responses=errors(400, 404),
    response_model=ConfigCheck,
    openapi_extra={"requestBody": {"required": True, "content": _YAML}},
)
async def check_config(id: str, request: Request, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Refuses what is wrong in the file, and tables, columns and relations that the source does not have. Stores
    nothing. A source that can't be asked is said in `reason`."""
    raw = await request.body()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"reflexdb.yaml must be UTF-8; byte {exc.start} is not") from exc
    reason = await to_thread.run_sync(control.config_advice.check, account, id, text)
    return {"checked": reason is None, "reason": reason}


@router.get(
    "/proposal",
    operation_id="proposeSchemaConfig",
    summary="Propose relations from names",
    responses=errors(404, 409),
    response_model=ConfigProposal,
)
def propose_config(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Relations for columns that the source declares no key for, by their names (`users_id`, `UserId`), each checked
    against a sample of rows. Nothing is stored."""
    proposal = control.config_advice.propose(account, id)
    return {
        "config": proposal.text,
        "relations": [
            {
                "table": one.candidate.table,
                "column": one.candidate.column,
                "references": f"{one.candidate.parent}.{one.candidate.parent_column}",
                "values": one.values,
                "found": one.found,
                "accepted": one.accepted,
            }
            for one in proposal.checked
        ],
    }
