"""Estimators of scikit-learn, LightGBM and XGBoost, each with the rows it is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import sklearn.calibration as calibration
import sklearn.cluster as cluster
import sklearn.compose as compose
import sklearn.cross_decomposition as crossed
import sklearn.discriminant_analysis as discriminant
import sklearn.ensemble as ensemble
import sklearn.feature_extraction.text as texts
import sklearn.gaussian_process as gaussian
import sklearn.linear_model as linear
import sklearn.mixture as mixture
import sklearn.model_selection as search
import sklearn.multiclass as multiclass
import sklearn.multioutput as multioutput
import sklearn.naive_bayes as bayes
import sklearn.neighbors as neighbors
import sklearn.neural_network as networks
import sklearn.preprocessing as pre
import sklearn.svm as svm
import sklearn.tree as tree
import xgboost
from row_transformers import TRANSFORMERS, few_trees
from sklearn.pipeline import make_pipeline

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((160, 5)).astype(np.float32)
SCORE = (X @ np.array([2.0, -1.0, 0.5, 0.0, 1.0]) + X[:, 1] * X[:, 2]).astype(np.float32)
TARGETS: dict[str, Any] = {
    "": None,
    "two": (SCORE > 0).astype(int),
    "three": np.digitize(SCORE, [-1.0, 1.0]),
    "number": SCORE,
    "positive": np.exp(SCORE / 4),
    "several": np.stack([SCORE > 0, SCORE > 1], 1).astype(int),
    "numbers": np.stack([SCORE, X[:, 0]], 1),
}
WORDS = ["good", "bad", "film", "plot", "dull", "witty", "long", "short"]
ROWS: dict[str, Any] = {
    "x": X,
    "counts": RANDOM.integers(0, 5, (160, 5)).astype(np.float32),
    "codes": RANDOM.integers(0, 3, (160, 5)).astype(np.float32),
    "holes": np.where(RANDOM.random(X.shape) < 0.1, np.nan, X).astype(np.float32),
    "texts": np.array([" ".join(RANDOM.choice(WORDS, 5)) for _ in range(160)], object),
    "words": RANDOM.choice(np.array(["a", "b", "c"], object), (160, 3)),
}


@dataclass(frozen=True)
class Estimator:
    """How an estimator is made, which rows it reads and what it learns."""

    make: Callable[[], Any]
    target: str = ""
    rows: str = "x"

    def fitted(self) -> tuple[Any, Any]:
        """(the fitted estimator, rows to export with)."""
        x, y = ROWS[self.rows], TARGETS[self.target]
        return self.make().fit(x, y), x[:12]


_TWO: dict[str, Callable[[], Any]] = {
    "LogisticRegression": linear.LogisticRegression,
    "SGDClassifier": linear.SGDClassifier,
    "SGDClassifier log": lambda: linear.SGDClassifier(loss="log_loss"),
    "Perceptron": linear.Perceptron,
    "PassiveAggressiveClassifier": linear.PassiveAggressiveClassifier,
    "RidgeClassifier": linear.RidgeClassifier,
    "RidgeClassifierCV": linear.RidgeClassifierCV,
    "LogisticRegressionCV": lambda: linear.LogisticRegressionCV(cv=2),
    "LinearSVC": svm.LinearSVC,
    "SVC": svm.SVC,
    "SVC linear": lambda: svm.SVC(kernel="linear"),
    "SVC poly": lambda: svm.SVC(kernel="poly"),
    "SVC sigmoid": lambda: svm.SVC(kernel="sigmoid"),
    "NuSVC": svm.NuSVC,
    "SVC probability": lambda: svm.SVC(probability=True),
    "DecisionTreeClassifier": lambda: tree.DecisionTreeClassifier(max_depth=4),
    "ExtraTreeClassifier": lambda: tree.ExtraTreeClassifier(max_depth=4),
    "RandomForestClassifier": few_trees(ensemble.RandomForestClassifier),
    "ExtraTreesClassifier": few_trees(ensemble.ExtraTreesClassifier),
    "GradientBoostingClassifier": few_trees(ensemble.GradientBoostingClassifier),
    "HistGradientBoostingClassifier": lambda: ensemble.HistGradientBoostingClassifier(max_iter=4),
    "AdaBoostClassifier": few_trees(ensemble.AdaBoostClassifier),
    "BaggingClassifier": few_trees(ensemble.BaggingClassifier),
    "BaggingClassifier SGD": lambda: ensemble.BaggingClassifier(
        linear.SGDClassifier(), n_estimators=3
    ),
    "MLPClassifier": lambda: networks.MLPClassifier((6,), max_iter=30),
    "GaussianNB": bayes.GaussianNB,
    "BernoulliNB": bayes.BernoulliNB,
    "LinearDiscriminantAnalysis": discriminant.LinearDiscriminantAnalysis,
    "QuadraticDiscriminantAnalysis": discriminant.QuadraticDiscriminantAnalysis,
    "KNeighborsClassifier": lambda: neighbors.KNeighborsClassifier(3),
    "RadiusNeighborsClassifier": lambda: neighbors.RadiusNeighborsClassifier(5.0),
    "NearestCentroid": neighbors.NearestCentroid,
    "GaussianProcessClassifier": gaussian.GaussianProcessClassifier,
    "CalibratedClassifierCV": lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2),
    "CalibratedClassifierCV isotonic": lambda: calibration.CalibratedClassifierCV(
        linear.LogisticRegression(), cv=2, method="isotonic"
    ),
    "OneVsRestClassifier": lambda: multiclass.OneVsRestClassifier(linear.LogisticRegression()),
    "OneVsOneClassifier": lambda: multiclass.OneVsOneClassifier(linear.LogisticRegression()),
    "VotingClassifier": lambda: ensemble.VotingClassifier(
        [("a", linear.LogisticRegression()), ("b", bayes.GaussianNB())], voting="soft"
    ),
    "VotingClassifier hard": lambda: ensemble.VotingClassifier(
        [("a", linear.LogisticRegression()), ("b", bayes.GaussianNB())]
    ),
    "StackingClassifier": lambda: ensemble.StackingClassifier(
        [("a", linear.LogisticRegression()), ("b", bayes.GaussianNB())], cv=2
    ),
    "GridSearchCV": lambda: search.GridSearchCV(
        linear.LogisticRegression(), {"C": [0.1, 1.0]}, cv=2
    ),
    "TunedThresholdClassifierCV": lambda: search.TunedThresholdClassifierCV(
        linear.LogisticRegression(), cv=2
    ),
    "LGBMClassifier": lambda: lightgbm.LGBMClassifier(n_estimators=4, verbosity=-1),
    "XGBClassifier": lambda: xgboost.XGBClassifier(n_estimators=4),
    "XGBRFClassifier": lambda: xgboost.XGBRFClassifier(n_estimators=4),
}
_NUMBER: dict[str, Callable[[], Any]] = {
    "LinearRegression": linear.LinearRegression,
    "Ridge": linear.Ridge,
    "RidgeCV": linear.RidgeCV,
    "Lasso": lambda: linear.Lasso(0.01),
    "LassoCV": lambda: linear.LassoCV(cv=2),
    "LassoLars": lambda: linear.LassoLars(0.01),
    "ElasticNet": lambda: linear.ElasticNet(0.01),
    "ElasticNetCV": lambda: linear.ElasticNetCV(cv=2),
    "Lars": linear.Lars,
    "OrthogonalMatchingPursuit": linear.OrthogonalMatchingPursuit,
    "BayesianRidge": linear.BayesianRidge,
    "ARDRegression": linear.ARDRegression,
    "HuberRegressor": linear.HuberRegressor,
    "TheilSenRegressor": lambda: linear.TheilSenRegressor(random_state=0),
    "QuantileRegressor": linear.QuantileRegressor,
    "RANSACRegressor": lambda: linear.RANSACRegressor(random_state=0),
    "SGDRegressor": linear.SGDRegressor,
    "PassiveAggressiveRegressor": linear.PassiveAggressiveRegressor,
    "LinearSVR": svm.LinearSVR,
    "SVR": svm.SVR,
    "NuSVR": svm.NuSVR,
    "DecisionTreeRegressor": lambda: tree.DecisionTreeRegressor(max_depth=4),
    "ExtraTreeRegressor": lambda: tree.ExtraTreeRegressor(max_depth=4),
    "RandomForestRegressor": few_trees(ensemble.RandomForestRegressor),
    "ExtraTreesRegressor": few_trees(ensemble.ExtraTreesRegressor),
    "GradientBoostingRegressor": few_trees(ensemble.GradientBoostingRegressor),
    "HistGradientBoostingRegressor": lambda: ensemble.HistGradientBoostingRegressor(max_iter=4),
    "AdaBoostRegressor": few_trees(ensemble.AdaBoostRegressor),
    "BaggingRegressor": few_trees(ensemble.BaggingRegressor),
    "MLPRegressor": lambda: networks.MLPRegressor(hidden_layer_sizes=(6,), max_iter=30),
    "KNeighborsRegressor": lambda: neighbors.KNeighborsRegressor(3),
    "RadiusNeighborsRegressor": lambda: neighbors.RadiusNeighborsRegressor(5.0),
    "GaussianProcessRegressor": gaussian.GaussianProcessRegressor,
    "PLSRegression": crossed.PLSRegression,
    "VotingRegressor": lambda: ensemble.VotingRegressor(
        [("a", linear.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3))]
    ),
    "StackingRegressor": lambda: ensemble.StackingRegressor(
        [("a", linear.Ridge()), ("b", linear.Lasso(0.01))], cv=2
    ),
    "TransformedTargetRegressor": lambda: compose.TransformedTargetRegressor(linear.Ridge()),
    "LGBMRegressor": lambda: lightgbm.LGBMRegressor(n_estimators=4, verbosity=-1),
    "XGBRegressor": lambda: xgboost.XGBRegressor(n_estimators=4),
    "XGBRFRegressor": lambda: xgboost.XGBRFRegressor(n_estimators=4),
}
_OUTLIERS_AND_CLUSTERS: dict[str, Callable[[], Any]] = {
    "KMeans": lambda: cluster.KMeans(3, n_init=1),
    "MiniBatchKMeans": lambda: cluster.MiniBatchKMeans(3, n_init=1),
    "BisectingKMeans": lambda: cluster.BisectingKMeans(3),
    "GaussianMixture": lambda: mixture.GaussianMixture(2),
    "BayesianGaussianMixture": lambda: mixture.BayesianGaussianMixture(n_components=2),
    "IsolationForest": few_trees(ensemble.IsolationForest),
    "OneClassSVM": svm.OneClassSVM,
    "SGDOneClassSVM": linear.SGDOneClassSVM,
    "LocalOutlierFactor": lambda: neighbors.LocalOutlierFactor(5, novelty=True),
}
_SPECIAL = {
    "MultinomialNB": Estimator(bayes.MultinomialNB, "two", "counts"),
    "ComplementNB": Estimator(bayes.ComplementNB, "two", "counts"),
    "CategoricalNB": Estimator(bayes.CategoricalNB, "two", "codes"),
    "PoissonRegressor": Estimator(linear.PoissonRegressor, "positive"),
    "GammaRegressor": Estimator(linear.GammaRegressor, "positive"),
    "TweedieRegressor": Estimator(lambda: linear.TweedieRegressor(power=1.5), "positive"),
    "MultiTaskLasso": Estimator(lambda: linear.MultiTaskLasso(0.01), "numbers"),
    "LinearRegression of two": Estimator(linear.LinearRegression, "numbers"),
    "MultiOutputRegressor": Estimator(
        lambda: multioutput.MultiOutputRegressor(linear.Ridge()), "numbers"
    ),
    "MultiOutputClassifier": Estimator(
        lambda: multioutput.MultiOutputClassifier(linear.LogisticRegression()), "several"
    ),
    "RandomForestClassifier of two": Estimator(
        few_trees(ensemble.RandomForestClassifier), "several"
    ),
    "MLPClassifier of two": Estimator(lambda: networks.MLPClassifier((6,), max_iter=30), "several"),
    "HistGradientBoosting with holes": Estimator(
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=4), "two", "holes"
    ),
    "LGBMClassifier with holes": Estimator(
        lambda: lightgbm.LGBMClassifier(n_estimators=4, verbosity=-1), "two", "holes"
    ),
    "XGBClassifier with holes": Estimator(
        lambda: xgboost.XGBClassifier(n_estimators=4), "two", "holes"
    ),
    "Pipeline words": Estimator(
        lambda: make_pipeline(
            pre.OneHotEncoder(handle_unknown="ignore"), linear.LogisticRegression()
        ),
        "two",
        "words",
    ),
    "Pipeline texts, SVC": Estimator(
        lambda: make_pipeline(texts.TfidfVectorizer(), svm.LinearSVC()), "two", "texts"
    ),
}


def estimators() -> Iterator[tuple[str, Estimator]]:
    """Every estimator alone, and behind or before another in a pipeline, by name."""
    for name, make in _TWO.items():
        yield name, Estimator(make, "two")
        if name != "TunedThresholdClassifierCV":  # of two classes only
            yield f"{name}, three classes", Estimator(make, "three")
        yield f"Pipeline {name}", Estimator(_behind(make), "two")
    for name, make in _NUMBER.items():
        yield name, Estimator(make, "number")
        yield f"Pipeline {name}", Estimator(_behind(make), "number")
    for name, make in _OUTLIERS_AND_CLUSTERS.items():
        yield name, Estimator(make)
        yield f"Pipeline {name}", Estimator(_behind(make))
    for name, (rows, make) in TRANSFORMERS.items():
        yield name, Estimator(make, "two", rows)
        yield f"Pipeline {name}", Estimator(_before(make), "two", rows)
    yield from _SPECIAL.items()


def _behind(make: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: make_pipeline(pre.StandardScaler(), make())


def _before(make: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: make_pipeline(make(), linear.LogisticRegression())
