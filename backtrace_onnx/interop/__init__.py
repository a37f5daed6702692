"""What other libraries take and return: relevance and inputs, or a call in their words, enter.

Their objects leave: a shap Explanation, a data frame, captum's tensors, a torch module.
It never imports one of these libraries before it is asked for its object, nor computes relevance.
"""
