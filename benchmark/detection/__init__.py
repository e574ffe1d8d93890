"""Detection: a Faster R-CNN trained on source pictures, run on fused ones, evaluated by COCO's rules."""
