from .camera import Intrinsics as Intrinsics
from .data.check import check as check
from .data.datasets import NYUDepthV2 as NYUDepthV2
from .data.datasets import RGBDFolder as RGBDFolder
from .data.datasets import open_split as open_split
from .data.transforms import EvalTransform as EvalTransform
from .data.transforms import TrainTransform as TrainTransform
from .errors import InputError as InputError
from .models.build import build_model as build_model
from .models.build import load_model as load_model
from .models.build import save_model as save_model
from .models.calibration import load_calibration as load_calibration
from .models.calibration import predict_calibrated as predict_calibrated
from .models.predict import predict_depth as predict_depth
from .models.predict import predict_disparity as predict_disparity
from .scoring.alignment import align as align
from .scoring.evaluate import evaluate as evaluate
from .scoring.metrics import depth_metrics as depth_metrics
from .scoring.protocol import PROTOCOLS as PROTOCOLS
from .scoring.protocol import Protocol as Protocol
from .scoring.statistics import summarise as summarise
from .training.config import TrainConfig as TrainConfig
from .training.losses import GradientMatchingLoss as GradientMatchingLoss
from .training.losses import ScaleShiftInvariantLoss as ScaleShiftInvariantLoss
from .training.losses import SiLogLoss as SiLogLoss
from .training.train import train as train

__version__: str
