"""Full text search over what lies in people's folders, by an index of its own that can be made again at any time.

    words      text folded and cut into words, alike for what is indexed and what is asked
    query      what somebody types -> what is asked         statement  the same as SQL
    document   an item -> what of it is searched            excerpt    the words found, in the text
    index      the SQLite file                              indexing   keeping it as the folders are
    searching  a query asked, each hit looked up            searcher   all of it, as a reader meets it

`Searcher` is the door. A search in one mailbox finds what lies in that mailbox, and nothing that only others saw.
"""

from archiver.search.excerpt import Mark, Marked
from archiver.search.indexing import Queue
from archiver.search.query import Query, parse
from archiver.search.searcher import PATIENCE, Searcher
from archiver.search.searching import LIMIT, Hit, Results
from archiver.search.statement import Order

__all__ = ["LIMIT", "PATIENCE", "Hit", "Mark", "Marked", "Order", "Query", "Queue", "Results", "Searcher", "parse"]
