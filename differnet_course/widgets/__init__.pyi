from .density import DensityExplorer as DensityExplorer
from .localization import LocalizationExplorer as LocalizationExplorer
from .maps_state import KeptMaps as KeptMaps
from .rotation import RotationExplorer as RotationExplorer
from .threshold import ThresholdExplorer as ThresholdExplorer
from .training import LiveLoss as LiveLoss
