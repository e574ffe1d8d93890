"""M3FD_Fusion: 300 more pairs of M3FD, without boxes."""

from functools import partial

from benchmark.datasets.readers import folders, m3fd
from benchmark.datasets.record import Record

RECORD = Record(
    name="m3fd_fusion",
    title="M3FD-Fusion",
    folder="M3FD_Fusion",
    about="300 more pairs of M3FD, without boxes (Liu et al., CVPR 2022)",
    read=partial(folders.read, infrared="Ir", visible="Vis"),
    published={"test": 300},
    home_page=m3fd.RECORD.home_page,
    licence=m3fd.RECORD.licence,
    citation=m3fd.RECORD.citation,
)
