# scipy, scikit-learn, sympy, statsmodels, networkx and seaborn do a little work.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import networkx, numpy, scipy.optimize, sympy
from sklearn.linear_model import LinearRegression
assert abs(scipy.optimize.brentq(lambda x: x * x - 2, 0, 2) - 2 ** 0.5) < 1e-9
model = LinearRegression().fit(numpy.arange(10).reshape(-1, 1), numpy.arange(10) * 3 + 1)
assert abs(model.coef_[0] - 3) < 1e-9
x = sympy.Symbol("x")
assert sympy.integrate(x ** 2, x) == x ** 3 / 3
assert networkx.shortest_path_length(networkx.path_graph(5), 0, 4) == 4
print("twin ok")
