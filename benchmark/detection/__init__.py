"""Detection: a Faster R-CNN trained on source images, run on fused ones, evaluated by COCO's rules."""
