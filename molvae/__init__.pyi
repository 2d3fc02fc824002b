from . import analysis as analysis
from . import bo as bo
from .campaign.campaign import Campaign as Campaign
from .chem.molecules import canonical as canonical
from .chem.properties import properties as properties
from .latent.library import Library as Library
from .latent.loading import load as load
from .latent.space import LatentSpace as LatentSpace
from .latent.train import train as train
from .latent.tuning import tune as tune
from .objectives.problem import Constraint as Constraint
from .objectives.problem import Objective as Objective
from .objectives.problem import OptimizationProblem as OptimizationProblem
from .objectives.registry import get_objective as get_objective
from .objectives.registry import objective as objective

__version__: str
