"""The corpora of picture files by name."""

from datasets.casme2.corpus import Casme2
from datasets.casme3.corpus import Casme3
from datasets.casme_sq.corpus import CasmeSq
from datasets.filmed import FilmedCorpus
from datasets.samm.corpus import Samm
from datasets.smic.corpus import Smic

FILMED: dict[str, FilmedCorpus] = {
    corpus.name: corpus for corpus in (Casme2(), Samm(), CasmeSq(), Casme3(), Smic())
}
