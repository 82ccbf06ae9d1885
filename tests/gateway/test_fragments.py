import random
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from gateway.fragments import OVERHEAD, Fragments


def test_the_least_recently_used_fragment_is_dropped():
    kept = Fragments(capacity=2 * (OVERHEAD + 1))
    kept.put("a", "1")
    kept.put("b", "2")
    assert kept.get("a") == "1"
    kept.put("c", "3")
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == ("1", None, "3")


def test_a_fragment_larger_than_all_is_not_kept():
    kept = Fragments(capacity=OVERHEAD + 10)
    kept.put("a", "1")
    kept.put("b", "x" * 11)
    assert (kept.get("a"), kept.get("b")) == ("1", None)


def test_a_fragment_put_again_counts_once():
    kept = Fragments()
    kept.put("a", "x" * 100)
    kept.put("a", "x" * 10)
    assert (len(kept), kept.size) == (1, OVERHEAD + 10)
    kept.clear()
    assert (len(kept), kept.size) == (0, 0)


def test_threads_may_share_fragments():
    kept = Fragments(capacity=50 * OVERHEAD)

    def work(seed):
        chosen = random.Random(seed)
        for _ in range(3000):
            key = chosen.randrange(200)
            text = kept.get(key)
            assert text in (None, str(key))
            if text is None:
                kept.put(key, str(key))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert kept.size == sum(len(text) + OVERHEAD for text in kept._texts.values()) <= kept.capacity


def test_a_fragment_that_another_thread_drops_while_it_is_read_is_still_read():
    class Dropping(OrderedDict):
        def move_to_end(self, key, last=True):
            raise KeyError(key)

    kept = Fragments()
    kept._texts = Dropping(a="1")
    assert kept.get("a") == "1"
