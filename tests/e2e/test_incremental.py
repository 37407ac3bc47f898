"""What a second backup stores: next to nothing without changes, the changed pages after some.

The data compresses about 3:1, and 5 % of its pages are changed at random, each in one row.
"""

import pytest

PAGES_PERCENT = 5
MIB = 1 << 20
# Words of a small vocabulary beside random hexadecimal digits.
FILL = """
create table data (id int primary key, words text, noise text) with (fillfactor = 90);
insert into data
select g, repeat(md5((g % 997)::text), 4),
    md5(g::text) || md5((g * 7)::text) || md5((g * 11)::text) || md5((g * 13)::text)
from generate_series(1, 150000) g;
"""
# One row of each page that is drawn: the page is rewritten, its line pointers stay.
CHANGE = """
select setseed(0.42);
with pages as (
    select page from generate_series(0, (pg_relation_size('data') / 8192 - 1)::int) page
    where random() < {share}
)
update data set noise = md5(random()::text) || md5(random()::text) || md5(random()::text)
    || md5(random()::text)
where ctid in (select format('(%s,%s)', page, 1 + page % 3)::tid from pages)
"""


@pytest.fixture(scope="module")
def orders(house, start_server):
    """A quiet source of some 60 MiB: nothing but the test changes its pages."""
    pg = start_server(autovacuum="off", full_page_writes="on")
    pg.psql(FILL)
    pg.psql("vacuum (freeze, analyze) data")
    pg.psql("checkpoint")
    house.add_cluster("orders", pg)
    pg.full = house.backup("orders")
    return pg


def numbers(backup):
    return [int(backup[key]) for key in ("sourceBytes", "changedBytes", "storedBytes")]


def test_incremental__unchanged_cluster_stores_next_to_nothing(house, orders):
    source, _, full = numbers(orders.full)
    again = house.backup("orders")
    assert again["predecessor"] == orders.full["name"]
    assert numbers(again)[2] <= MIB + source // 1000
    assert numbers(again)[2] < full // 10  # the bound is not all of it


def test_incremental__random_changes_store_what_changed(house, orders):
    source, changed, full = numbers(orders.full)
    ratio = changed / full
    assert 2.0 < ratio < 6.0, "the generator's data is not like the promise's"
    pages = int(orders.psql("select pg_relation_size('data') / 8192"))
    before = numbers(house.backup("orders"))
    orders.psql(CHANGE.format(share=PAGES_PERCENT / 100))
    orders.psql("checkpoint")
    after = numbers(house.backup("orders"))
    assert before[1] < after[1]
    assert after[1] > pages * PAGES_PERCENT / 100 * 8192 * 0.8, "too few pages were changed"
    assert after[1] < source * 0.25, "too much was changed to prove anything"
    assert after[2] <= 1.3 * after[1] / ratio + 0.002 * source


def test_incremental__result_is_as_good_as_a_full_one(house, orders, restore):
    rows = orders.psql("select count(*), sum(hashtextextended(d::text, 0)) from data d")
    made = house.backup("orders")
    server = restore("orders", "--latest", "--backup", made["name"]).verify().start_promoted()
    assert server.psql("select count(*), sum(hashtextextended(d::text, 0)) from data d") == rows
    server.check_indexes()
