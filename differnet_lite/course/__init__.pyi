from . import check as check
from . import flows as flows
from . import studies as studies
