from .density import DensityExplorer as DensityExplorer
from .localization import LocalizationExplorer as LocalizationExplorer
from .maps_state import KeptMaps as KeptMaps
from .plot import LiveLoss as LiveLoss
from .rotation import RotationExplorer as RotationExplorer
from .threshold import ThresholdExplorer as ThresholdExplorer
