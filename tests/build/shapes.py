"""Small schemas in the shapes of well-known applications, and names that their relations must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reflexdb.model.schema import ForeignKey, SourceSchema, SourceTable

from .schemas import schema, table


@dataclass(frozen=True, slots=True)
class Shape:
    source: SourceSchema
    expected: Mapping[str, Mapping[str, str]]
    """By table: the name of a relation, and `one` or `many` of which table by which column."""


def _keyed(name: str, columns: str, keys: str = "") -> SourceTable:
    """`columns` with the primary key first; `keys` as `column>table.column`, composite ones joined by `+`."""
    names = columns.split()
    foreign: list[ForeignKey] = []
    for text in keys.split():
        own, _, target = text.partition(">")
        parent, _, theirs = target.rpartition(".")
        foreign.append(ForeignKey(f"fk_{len(foreign)}", tuple(own.split("+")), parent, tuple(theirs.split("+"))))
    return table(name, *names, keys=tuple(foreign), primary_key=(names[0],))


SHAPES: Mapping[str, Shape] = {
    "sakila": Shape(
        schema(
            _keyed("address", "address_id city_id", "city_id>city.city_id"),
            _keyed("city", "city_id country_id city"),
            _keyed(
                "store",
                "store_id manager_staff_id address_id",
                "manager_staff_id>staff.staff_id address_id>address.address_id",
            ),
            _keyed("staff", "staff_id address_id store_id", "address_id>address.address_id store_id>store.store_id"),
            _keyed("language", "language_id name"),
            _keyed(
                "film",
                "film_id language_id original_language_id",
                "language_id>language.language_id original_language_id>language.language_id",
            ),
            _keyed("actor", "actor_id last_name"),
            _keyed("film_actor", "actor_id film_id", "actor_id>actor.actor_id film_id>film.film_id"),
            _keyed("inventory", "inventory_id film_id store_id", "film_id>film.film_id store_id>store.store_id"),
            _keyed(
                "customer", "customer_id store_id address_id", "store_id>store.store_id address_id>address.address_id"
            ),
            _keyed(
                "rental",
                "rental_id inventory_id customer_id staff_id",
                "inventory_id>inventory.inventory_id customer_id>customer.customer_id staff_id>staff.staff_id",
            ),
            _keyed("payment", "payment_id staff_id rental_id", "staff_id>staff.staff_id rental_id>rental.rental_id"),
        ),
        {
            "staff": {
                "store": "one store by store_id",
                "store_by_manager_staff": "many store by manager_staff_id",
                "rental": "many rental by staff_id",
            },
            "store": {"manager_staff": "one staff by manager_staff_id", "staff": "many staff by store_id"},
            "language": {"film_by_original_language": "many film by original_language_id"},
        },
    ),
    "pagila": Shape(
        schema(
            _keyed("store", "store_id manager_staff_id", "manager_staff_id>staff.staff_id"),
            _keyed("staff", "staff_id store_id", "store_id>store.store_id"),
            _keyed("rental", "rental_id staff_id", "staff_id>staff.staff_id"),
            _keyed("payment", "payment_date payment_id rental_id", "rental_id>rental.rental_id"),
            _keyed("payment_p1", "payment_date payment_id rental_id", "rental_id>rental.rental_id"),
        ),
        {"rental": {"payment": "many payment by rental_id", "payment_p1": "many payment_p1 by rental_id"}},
    ),
    "calibre": Shape(
        schema(
            _keyed("books", "id title author_sort"),
            _keyed("authors", "id name"),
            _keyed("books_authors_link", "id book author", "book>books.id author>authors.id"),
            _keyed("comments", "id book text", "book>books.id"),
            _keyed("data", "id book format", "book>books.id"),
            _keyed("languages", "id lang_code"),
            _keyed("books_languages_link", "id book lang_code", "book>books.id lang_code>languages.id"),
        ),
        {
            "comments": {"book": "one books by book", "books": "one books by book"},
            "books": {"comments": "many comments by book", "data": "many data by book"},
            "books_languages_link": {"lang_code": "one languages by lang_code"},
        },
    ),
    "anki": Shape(
        schema(
            _keyed("notes", "id guid mid"),
            _keyed("cards", "id nid did", "nid>notes.id did>decks.id"),
            _keyed("decks", "id name"),
            _keyed("revlog", "id cid", "cid>cards.id"),
        ),
        {
            "cards": {"notes": "one notes by nid", "nid": "one notes by nid", "decks": "one decks by did"},
            "notes": {"cards": "many cards by nid"},
            "revlog": {"cards": "one cards by cid"},
        },
    ),
    "zotero": Shape(
        schema(
            _keyed(
                "items",
                "itemID itemTypeID libraryID key",
                "itemTypeID>itemTypes.itemTypeID libraryID>libraries.libraryID",
            ),
            _keyed("itemTypes", "itemTypeID typeName"),
            _keyed("libraries", "libraryID type"),
            _keyed("itemNotes", "itemID parentItemID", "itemID>items.itemID parentItemID>items.itemID"),
            _keyed("collections", "collectionID parentCollectionID", "parentCollectionID>collections.collectionID"),
            _keyed(
                "collectionItems",
                "collectionID itemID",
                "collectionID>collections.collectionID itemID>items.itemID",
            ),
        ),
        {
            "items": {
                "itemType": "one itemTypes by itemTypeID",
                "library": "one libraries by libraryID",
                "itemNotes_by_item": "many itemNotes by itemID",
                "itemNotes_by_parentItemID": "many itemNotes by parentItemID",
            },
            "itemNotes": {"item": "one items by itemID", "parentItem": "one items by parentItemID"},
            "collections": {
                "parentCollection": "one collections by parentCollectionID",
                "collections": "many collections by parentCollectionID",
            },
        },
    ),
    "adventureworks": Shape(
        schema(
            _keyed("Address", "AddressID City"),
            _keyed("Customer", "CustomerID StoreID", "StoreID>Store.BusinessEntityID"),
            _keyed("Store", "BusinessEntityID Name SalesPersonID", "SalesPersonID>SalesPerson.BusinessEntityID"),
            _keyed("SalesPerson", "BusinessEntityID Bonus"),
            _keyed(
                "SalesOrderHeader",
                "SalesOrderID CustomerID BillToAddressID ShipToAddressID",
                "CustomerID>Customer.CustomerID BillToAddressID>Address.AddressID ShipToAddressID>Address.AddressID",
            ),
            _keyed("SpecialOfferProduct", "SpecialOfferID ProductID"),
            _keyed(
                "SalesOrderDetail",
                "SalesOrderDetailID SalesOrderID SpecialOfferID ProductID",
                "SalesOrderID>SalesOrderHeader.SalesOrderID "
                "SpecialOfferID+ProductID>SpecialOfferProduct.SpecialOfferID+ProductID",
            ),
        ),
        {
            "SalesOrderHeader": {
                "BillToAddress": "one Address by BillToAddressID",
                "ShipToAddressID": "one Address by ShipToAddressID",
                "Customer": "one Customer by CustomerID",
            },
            "SalesOrderDetail": {
                "SalesOrderHeader": "one SalesOrderHeader by SalesOrderID",
                "SpecialOfferProduct": "one SpecialOfferProduct by ProductID",
            },
            "Address": {
                "SalesOrderHeader_by_BillToAddress": "many SalesOrderHeader by BillToAddressID",
                "SalesOrderHeader_by_BillToAddressID": "many SalesOrderHeader by BillToAddressID",
            },
        },
    ),
    "chinook": Shape(
        schema(
            _keyed("Artist", "ArtistId Name"),
            _keyed("Album", "AlbumId Title ArtistId", "ArtistId>Artist.ArtistId"),
            _keyed("MediaType", "MediaTypeId Name"),
            _keyed(
                "Track", "TrackId Name AlbumId MediaTypeId", "AlbumId>Album.AlbumId MediaTypeId>MediaType.MediaTypeId"
            ),
            _keyed("Employee", "EmployeeId ReportsTo", "ReportsTo>Employee.EmployeeId"),
            _keyed("Customer", "CustomerId SupportRepId", "SupportRepId>Employee.EmployeeId"),
            _keyed("InvoiceLine", "InvoiceLineId TrackId", "TrackId>Track.TrackId"),
        ),
        {
            "Album": {"Artist": "one Artist by ArtistId", "ArtistId": "one Artist by ArtistId"},
            "Artist": {"Album": "many Album by ArtistId"},
            "Customer": {"SupportRepId": "one Employee by SupportRepId", "Employee": "one Employee by SupportRepId"},
            "Employee": {"ReportsTo": "one Employee by ReportsTo", "Employee": "many Employee by ReportsTo"},
        },
    ),
    "zabbix": Shape(
        schema(
            _keyed("hosts", "hostid host proxy_hostid templateid", "proxy_hostid>hosts.hostid templateid>hosts.hostid"),
            _keyed("items", "itemid hostid templateid", "hostid>hosts.hostid templateid>items.itemid"),
            _keyed("functions", "functionid itemid", "itemid>items.itemid"),
        ),
        {
            "items": {
                "host": "one hosts by hostid",
                "hostid": "one hosts by hostid",
                "templateid": "one items by templateid",
                "items": "many items by templateid",
            },
            "hosts": {"proxy_host": "one hosts by proxy_hostid", "items": "many items by hostid"},
            "functions": {"item": "one items by itemid"},
        },
    ),
    "employees": Shape(
        schema(
            _keyed("employees", "emp_no last_name"),
            _keyed("departments", "dept_no dept_name"),
            _keyed("dept_emp", "emp_no dept_no", "emp_no>employees.emp_no dept_no>departments.dept_no"),
            _keyed("salaries", "emp_no from_date", "emp_no>employees.emp_no"),
        ),
        {
            "salaries": {"employees": "one employees by emp_no", "emp_no": "one employees by emp_no"},
            "dept_emp": {"departments": "one departments by dept_no"},
            "employees": {"salaries": "many salaries by emp_no", "dept_emp": "many dept_emp by emp_no"},
        },
    ),
    "glpi": Shape(
        schema(
            _keyed("glpi_entities", "id entities_id", "entities_id>glpi_entities.id"),
            _keyed("glpi_users", "id entities_id users_id_supervisor", "entities_id>glpi_entities.id"),
            _keyed(
                "glpi_tickets",
                "id users_id_recipient users_id_lastupdater entities_id",
                "users_id_recipient>glpi_users.id users_id_lastupdater>glpi_users.id entities_id>glpi_entities.id",
            ),
        ),
        {
            "glpi_tickets": {
                "entities": "one glpi_entities by entities_id",
                "users_id_recipient": "one glpi_users by users_id_recipient",
            },
            "glpi_entities": {
                "entities": "one glpi_entities by entities_id",
                "glpi_entities": "many glpi_entities by entities_id",
            },
        },
    ),
}
