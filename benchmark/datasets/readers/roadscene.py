"""RoadScene: 221 driving scenes, cropped from FLIR's frames, without boxes."""

from functools import partial

from benchmark.datasets.readers import folders
from benchmark.datasets.record import Record

CITATION = """@inproceedings{xu2020fusiondn,
  author    = {Han Xu and Jiayi Ma and Zhuliang Le and Junjun Jiang and Xiaojie Guo},
  title     = {{FusionDN}: A Unified Densely Connected Network for Image Fusion},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {34},
  pages     = {12484--12491},
  year      = {2020}
}"""

RECORD = Record(
    name="roadscene",
    title="RoadScene",
    folder="RoadScene",
    about="driving scenes cropped from FLIR frames, without boxes (Xu et al., AAAI 2020)",
    read=partial(folders.read, infrared="cropinfrared", visible="crop_LR_visible"),
    published={"test": 221},
    home_page="https://github.com/hanna-xu/RoadScene",
    licence="none found; the frames are FLIR's, whose terms of use hold",
    citation=CITATION,
)
