try: from matterhorn.hf import *  # loading with trust_remote_code=True ends up here
except ImportError as error:
    raise ImportError('this model needs: pip install "matterhorn-snn[train]"') from error
