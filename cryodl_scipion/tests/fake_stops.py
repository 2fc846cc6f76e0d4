# SPDX-License-Identifier: GPL-3.0-or-later
"""How the fake engine dies, so that tests can continue its runs."""
import os
import signal


def dieSometimes(folder, done):
    """End by SIGKILL, once, when `done` has reached FAKE_ENGINE_DIE_AFTER. folder: where it is noted that this was
    done."""
    limit = os.environ.get('FAKE_ENGINE_DIE_AFTER')
    mark = os.path.join(folder, 'died')
    if limit and done >= int(limit) and not os.path.exists(mark):
        open(mark, 'w').close()
        os.kill(os.getpid(), signal.SIGKILL)
