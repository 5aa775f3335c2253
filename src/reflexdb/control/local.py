"""Control with everything on this machine: records, secrets, images and instances under one directory.

`open_control(data_dir, settings, host)` is where the local implementations of all edges meet; nothing else names
them. The caller holds the lock on the directory; with records on PostgreSQL several may share it.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from reflexdb.control.control import Control
from reflexdb.control.image_places import ImagePlaces
from reflexdb.control.payments import NoPayments, Payments
from reflexdb.control.rooms import Rooms, Settings, utc_now
from reflexdb.control.signing import Signing
from reflexdb.control.watching import Nobody, Watcher
from reflexdb.deploy.local import LocalDeployer
from reflexdb.records.secrets import SecretStore
from reflexdb.records.store import Store
from reflexdb.sources.apart import Asking


def open_control(
    data_dir: Path,
    settings: Settings,
    host: str,
    records: URL | None = None,
    payments: Payments | None = None,
    watcher: Watcher | None = None,
    images: ImagePlaces | None = None,
) -> Control:
    """Control on a directory, not started. `host` is the address that instances listen on; `records` a PostgreSQL;
    `images` who makes them and where they are kept besides."""
    data_dir = data_dir.absolute()
    store, secrets = Store(records or data_dir / "metadata.db"), SecretStore(data_dir)
    signing = Signing(store, secrets, utc_now)
    builder = (images or ImagePlaces()).builder(data_dir, signing)
    rooms = Rooms(
        data_dir=data_dir,
        store=store,
        secrets=secrets,
        signing=signing,
        builder=builder,
        images=builder.store,
        deployer=LocalDeployer(data_dir, builder.store, host, shared=store.is_shared),
        asking=Asking(settings.deadlines),
        settings=settings,
        payments=payments or NoPayments(),
        watcher=watcher or Nobody(),
    )
    return Control(rooms)
