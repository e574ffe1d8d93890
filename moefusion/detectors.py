"""The auxiliary network: two Faster R-CNNs whose attention marks the objects for the fusion network."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList

from metrics.errors import InputError
from moefusion.backbones import build_detectors
from moefusion.config import DetectorConfig
from moefusion.data import DetectedObjects, Target
from moefusion.distributed import BatchNorm
from moefusion.network import check_pair

_BANDS = ("infrared", "visible")
_STRIDE = 4  # of the finest level
_MULTIPLE = 32  # of the coarsest level that comes from the backbone
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which the backbone knows
_LOSSES = {
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal_box",
    "loss_classifier": "class",
    "loss_box_reg": "box",
}
Pyramid = dict[str, Tensor]


class AttentionMaps(NamedTuple):
    """The modalities' attention at a quarter of the image's size, rounded up: (N, 1, h, w) in [0, 1]."""

    infrared: Tensor
    visible: Tensor


class AuxiliaryDetectors(nn.Module):
    """Two Faster R-CNNs with one attention module between feature pyramid and proposals.

    The attention module is one for all levels. Its batch normalisation takes its statistics over all processes
    that train together.

    Reference:
        Cao, Sun, Zhu and Hu, "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion", 2023,
        section 3; Ren et al., "Faster R-CNN", 2015; Lin et al., "Feature Pyramid Networks", 2017.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: DetectorConfig, classes: int, *, initialise: bool = True) -> None:
        """Build the detectors for a number of classes; `initialise=False` leaves `config.weights` unread."""
        super().__init__()
        self.config = config
        self.classes = classes
        self.detectors = build_detectors(config, classes, _BANDS, initialise=initialise)
        channels: int = self._detector("infrared").backbone.out_channels
        self.exchange = nn.Conv2d(2 * channels, channels, 1)
        self.heads = nn.ModuleDict({band: _attention_head(channels) for band in _BANDS})
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None], persistent=False)

    def attention(self, infrared: Tensor, visible: Tensor) -> AttentionMaps:
        """Return both attention maps; proposals and detection heads do not run.

        Args:
            infrared, visible: (N, 1, H, W), luma on the scale [0, 1]. Any H and W will do.

        Raises:
            InputError: The shapes do not fit.
        """
        pyramids = self._pyramids(infrared, visible)
        _, maps = self._attend(*(pyramid["0"] for pyramid in pyramids))
        return _cropped(maps, infrared)

    def losses(self, infrared: Tensor, visible: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the detection losses of both detectors, scalars: `infrared_objectness` and so on, eight in all.

        Args:
            infrared, visible: As for `attention`.
            targets: The objects of each image, the same for both modalities.

        Raises:
            InputError: The shapes do not fit, or the detectors are not in training mode.
        """
        return self.train_on(infrared, visible, targets)[1]

    def train_on(
        self, infrared: Tensor, visible: Tensor, targets: Sequence[Target]
    ) -> tuple[AttentionMaps, dict[str, Tensor]]:
        """Return the attention maps and the detection losses from one pass; arguments as for `losses`."""
        if not self.training:
            raise InputError("the detectors are in evaluation mode and have no losses. Call train() first")
        if len(targets) != len(infrared):
            raise InputError(f"targets: expected one for each of {len(infrared)} images, got {len(targets)}")
        attended, maps = self._attended(infrared, visible)
        images = _image_list(infrared)
        losses = {}
        for band, pyramid in attended.items():
            detector = self._detector(band)
            # In bfloat16 the anchors of a large image would be whole pixels apart from where they belong.
            with torch.autocast(infrared.device.type, enabled=False):
                pyramid = {level: features.float() for level, features in pyramid.items()}
                proposals, of_proposals = detector.rpn(images, pyramid, targets)
                _, of_boxes = detector.roi_heads(pyramid, proposals, images.image_sizes, targets)
            losses.update({f"{band}_{_LOSSES[name]}": loss for name, loss in {**of_proposals, **of_boxes}.items()})
        return maps, losses

    @torch.no_grad()
    def detect(self, infrared: Tensor, visible: Tensor) -> dict[str, list[DetectedObjects]]:
        """Return the objects that each detector finds in each image, under "infrared" and "visible".

        Args:
            infrared, visible: As for `attention`.

        Raises:
            InputError: The shapes do not fit, or the detectors are in training mode.
        """
        if self.training:
            raise InputError("the detectors are in training mode and detect nothing. Call eval() first")
        attended, _ = self._attended(infrared, visible)
        images = _image_list(infrared)
        detected = {}
        for band, pyramid in attended.items():
            detector = self._detector(band)
            proposals, _ = detector.rpn(images, pyramid)
            detected[band], _ = detector.roi_heads(pyramid, proposals, images.image_sizes)
        return detected

    def _detector(self, band: str) -> FasterRCNN:
        return self.detectors[band]

    def _attended(self, infrared: Tensor, visible: Tensor) -> tuple[dict[str, Pyramid], AttentionMaps]:
        """Return the pyramids weighted by attention, which the detectors use, and the finest level's attention."""
        of_infrared, of_visible = self._pyramids(infrared, visible)
        attended: dict[str, Pyramid] = {band: {} for band in _BANDS}
        maps = {}
        for level in of_infrared:
            features, maps[level] = self._attend(of_infrared[level], of_visible[level])
            for band, feature in zip(_BANDS, features, strict=True):
                attended[band][level] = feature
        return attended, _cropped(maps["0"], infrared)

    def _pyramids(self, infrared: Tensor, visible: Tensor) -> list[Pyramid]:
        check_pair(infrared, visible)
        height, width = infrared.shape[2:]
        padding = (0, -width % _MULTIPLE, 0, -height % _MULTIPLE)
        pyramids = []
        for band, image in zip(_BANDS, (infrared, visible), strict=True):
            # One channel becomes three equal ones. Padding after: 0 is then the mean colour.
            normal = F.pad((image - self.mean) / self.deviation, padding)
            pyramids.append(self._detector(band).backbone(normal))
        return pyramids

    def _attend(self, infrared: Tensor, visible: Tensor) -> tuple[list[Tensor], AttentionMaps]:
        common = self.exchange(torch.cat([visible, infrared], dim=1)).relu()
        features = [infrared + common, visible + common]
        maps = AttentionMaps(*(self.heads[band](f) for band, f in zip(_BANDS, features, strict=True)))
        return [feature + feature * attention for feature, attention in zip(features, maps, strict=True)], maps


def _attention_head(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels // 2, 1, bias=False),
        BatchNorm(channels // 2),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels // 2, 1, 1, bias=False),
        BatchNorm(1),
        nn.Sigmoid(),
    )


def _cropped(maps: AttentionMaps, image: Tensor) -> AttentionMaps:
    height, width = (-(-side // _STRIDE) for side in image.shape[2:])
    return AttentionMaps(*(attention[..., :height, :width] for attention in maps))


def _image_list(images: Tensor) -> ImageList:
    """Return a batch's padded size and the images' own sizes in torchvision's form."""
    height, width = images.shape[2:]
    padded = images.new_empty(1).expand(len(images), 1, *(side + -side % _MULTIPLE for side in (height, width)))
    return ImageList(padded, [(height, width)] * len(images))
