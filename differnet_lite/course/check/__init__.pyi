from .exercises import NotPassed as NotPassed
from .exercises import exercise as exercise
from .exercises import exercises_of as exercises_of
from .exercises import judge as judge
from .exercises import progress as progress
