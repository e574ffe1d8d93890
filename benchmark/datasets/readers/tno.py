"""TNO: military scenes, without boxes, in two folders as fusion repositories distribute them."""

from benchmark.datasets.readers import folders
from benchmark.datasets.record import Record

CITATION = """@misc{toet2014tno,
  author       = {Alexander Toet},
  title        = {{TNO} Image Fusion Dataset},
  howpublished = {figshare},
  year         = {2014},
  doi          = {10.6084/m9.figshare.1008029}
}"""

RECORD = Record(
    name="tno",
    title="TNO",
    folder="TNO",
    about="military scenes, without boxes, in two folders (Toet, figshare 2014)",
    read=folders.read,
    home_page="https://doi.org/10.6084/m9.figshare.1008029",
    licence="as figshare states it beside the download",
    citation=CITATION,
)
