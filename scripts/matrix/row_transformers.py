"""Transformers of scikit-learn, each with the kind of rows it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sklearn.compose as compose
import sklearn.decomposition as decomposition
import sklearn.ensemble as ensemble
import sklearn.feature_extraction.text as texts
import sklearn.feature_selection as selection
import sklearn.impute as impute
import sklearn.kernel_approximation as kernels
import sklearn.linear_model as linear
import sklearn.neighbors as neighbors
import sklearn.preprocessing as pre
import sklearn.random_projection as projection
from sklearn.pipeline import FeatureUnion


def few_trees(kind: Any, **options: Any) -> Callable[[], Any]:
    """An ensemble of four trees."""
    return lambda: kind(n_estimators=4, random_state=0, **options)


TRANSFORMERS: dict[str, tuple[str, Callable[[], Any]]] = {
    "StandardScaler": ("x", pre.StandardScaler),
    "MinMaxScaler": ("x", pre.MinMaxScaler),
    "MaxAbsScaler": ("x", pre.MaxAbsScaler),
    "RobustScaler": ("x", pre.RobustScaler),
    "Normalizer": ("x", pre.Normalizer),
    "Binarizer": ("x", pre.Binarizer),
    "PolynomialFeatures": ("x", pre.PolynomialFeatures),
    "PowerTransformer": ("x", pre.PowerTransformer),
    "QuantileTransformer": ("x", lambda: pre.QuantileTransformer(n_quantiles=10)),
    "KBinsDiscretizer": ("x", lambda: pre.KBinsDiscretizer(3)),
    "KBinsDiscretizer ordinal": ("x", lambda: pre.KBinsDiscretizer(3, encode="ordinal")),
    "SplineTransformer": ("x", pre.SplineTransformer),
    "FunctionTransformer": ("x", pre.FunctionTransformer),
    "OneHotEncoder": ("codes", lambda: pre.OneHotEncoder(handle_unknown="ignore")),
    "OneHotEncoder dense": ("codes", lambda: pre.OneHotEncoder(sparse_output=False)),
    "OneHotEncoder words": ("words", lambda: pre.OneHotEncoder(handle_unknown="ignore")),
    "OrdinalEncoder": ("codes", pre.OrdinalEncoder),
    "OrdinalEncoder words": ("words", pre.OrdinalEncoder),
    "TargetEncoder": ("codes", lambda: pre.TargetEncoder(cv=2)),
    "SimpleImputer": ("holes", impute.SimpleImputer),
    "KNNImputer": ("holes", lambda: impute.KNNImputer(n_neighbors=2)),
    "MissingIndicator": ("holes", impute.MissingIndicator),
    "PCA": ("x", lambda: decomposition.PCA(3)),
    "IncrementalPCA": ("x", lambda: decomposition.IncrementalPCA(3)),
    "TruncatedSVD": ("x", lambda: decomposition.TruncatedSVD(3)),
    "KernelPCA": ("x", lambda: decomposition.KernelPCA(3, kernel="rbf")),
    "FastICA": ("x", lambda: decomposition.FastICA(3)),
    "NMF": ("counts", lambda: decomposition.NMF(3)),
    "Nystroem": ("x", lambda: kernels.Nystroem(n_components=4)),
    "NeighborhoodComponentsAnalysis": ("x", lambda: neighbors.NeighborhoodComponentsAnalysis(3)),
    "GaussianRandomProjection": ("x", lambda: projection.GaussianRandomProjection(3)),
    "RandomTreesEmbedding": ("x", few_trees(ensemble.RandomTreesEmbedding)),
    "SelectKBest": ("x", lambda: selection.SelectKBest(k=3)),
    "SelectPercentile": ("x", lambda: selection.SelectPercentile(percentile=60)),
    "SelectFpr": ("x", selection.SelectFpr),
    "SelectFdr": ("x", selection.SelectFdr),
    "SelectFwe": ("x", selection.SelectFwe),
    "GenericUnivariateSelect": ("x", lambda: selection.GenericUnivariateSelect(param=60)),
    "SelectFromModel": ("x", lambda: selection.SelectFromModel(linear.LogisticRegression())),
    "RFE": ("x", lambda: selection.RFE(linear.LogisticRegression(), n_features_to_select=3)),
    "RFECV": ("x", lambda: selection.RFECV(linear.LogisticRegression(), cv=2)),
    "VarianceThreshold": ("x", selection.VarianceThreshold),
    "CountVectorizer": ("texts", texts.CountVectorizer),
    "TfidfVectorizer": ("texts", texts.TfidfVectorizer),
    "HashingVectorizer": ("texts", lambda: texts.HashingVectorizer(n_features=16)),
    "TfidfTransformer": ("counts", texts.TfidfTransformer),
    "FeatureUnion": (
        "x",
        lambda: FeatureUnion([("a", pre.StandardScaler()), ("b", decomposition.PCA(2))]),
    ),
    "ColumnTransformer": (
        "x",
        lambda: compose.make_column_transformer(
            (pre.StandardScaler(), [0, 1]), (pre.MinMaxScaler(), [2]), remainder="passthrough"
        ),
    ),
}
