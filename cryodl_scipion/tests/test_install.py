# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment's installer, what Plugin says about it, and the engine as a job. No network, no torch."""
import os
import shlex
import stat
import subprocess

import pytest

from cryodl_scipion import Plugin, engine_job, environment
from cryodl_scipion.engine.cryodl import contract
from pyworkflow.utils import Environ, process

# Stands for a program that makes environments: its python takes every command and writes each into $LOG.
FAKE_ENVIRONMENT = '''#!/bin/sh
echo "{name} $*" >>"$LOG"
for word; do case $word in */env) env=$word ;; esac; done
mkdir -p "$env/bin"
cat >"$env/bin/python" <<'END'
#!/bin/sh
echo "python $*" >>"$LOG"
case "$*" in *"$BREAK"*) [ -z "$BREAK" ] || exit 1 ;; esac
END
chmod +x "$env/bin/python"
exit {code}
'''


def writeProgram(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Installer:
    """install_env.sh with programs of our own; `log` is what they were asked to do."""

    def __init__(self, folder):
        self.bin, self.home, self.logFile = folder / 'bin', folder / 'my home', folder / 'log'

    def has(self, name, code=0):
        writeProgram(self.bin / name, FAKE_ENVIRONMENT.format(name=name, code=code))

    def run(self, breakAt='', **variables):
        # The machine's own conda or uv stay out: PATH has only the system's folders.
        env = dict(PATH='%s:/usr/bin:/bin' % self.bin, HOME=str(self.home), LOG=str(self.logFile), BREAK=breakAt,
                   **variables)
        return subprocess.run(['bash', environment.installFile('install_env.sh'), str(self.home)], env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)

    @property
    def log(self):
        return self.logFile.read_text() if self.logFile.exists() else ''

    def problems(self):
        return environment.problems(str(self.home), '')


@pytest.fixture
def installer(tmp_path):
    return Installer(tmp_path)


def test_installing_ends_with_a_marker_that_the_plugin_accepts(installer):
    installer.has('micromamba')
    done = installer.run()
    assert done.returncode == 0, done.stdout
    assert installer.problems() == []
    assert 'micromamba create' in installer.log and 'requirements.lock' in installer.log
    assert installer.log.index('-m pip install') < installer.log.index('-m cryodl doctor')


def test_installing_twice_does_nothing_the_second_time(installer):
    installer.has('conda')
    assert installer.run().returncode == 0
    before = installer.log
    done = installer.run()
    assert done.returncode == 0 and installer.log == before and 'is ready' in done.stdout


@pytest.mark.parametrize('breakAt', ['pip install', 'cryodl doctor'])
def test_a_half_installed_environment_is_named_and_made_anew(installer, breakAt):
    installer.has('mamba')
    assert installer.run(breakAt=breakAt).returncode != 0
    assert 'half installed' in installer.problems()[0] and 'installb cryodl' in installer.problems()[0]
    (installer.home / 'env' / 'leftover').write_text('')
    assert installer.run().returncode == 0
    assert installer.problems() == [] and not (installer.home / 'env' / 'leftover').exists()


def test_when_conda_fails_the_next_way_is_taken(installer):
    installer.has('conda', code=1)
    installer.has('uv')
    done = installer.run()
    assert done.returncode == 0, done.stdout
    assert 'conda could not make an environment' in done.stdout and 'uv venv' in installer.log


def test_pip_arguments_of_the_user_reach_pip(installer):
    installer.has('conda')
    installer.run(CRYODL_PIP_ARGS='--extra-index-url file:///wheels --no-cache-dir')
    assert 'requirements.lock --extra-index-url file:///wheels --no-cache-dir' in installer.log


def test_environment_of_another_lock_is_named(installer):
    (installer.home / 'env').mkdir(parents=True)
    (installer.home / 'env' / 'cryodl-ready-000000000000').write_text('')
    assert 'another version' in installer.problems()[0]


def test_missing_environment_is_named_with_its_folder_and_the_remedy(installer):
    problem, = installer.problems()
    assert str(installer.home) in problem and 'scipion installb cryodl' in problem


def test_own_python_must_be_a_program(tmp_path):
    assert 'CRYODL_PYTHON' in environment.problems(str(tmp_path), str(tmp_path / 'nothing'))[0]
    writeProgram(tmp_path / 'python', '#!/bin/sh\n')
    assert environment.problems(str(tmp_path), str(tmp_path / 'python')) == []


def test_install_command_keeps_special_characters(tmp_path):
    home = str(tmp_path / "it's 100% $HOME")
    command = environment.installCommand(home, "--find-links '/a b'", 'true && ')
    words = shlex.split(command)
    assert words[:2] == ['true', '&&'] and words[-1] == home and "CRYODL_PIP_ARGS=--find-links '/a b'" in words


def test_lock_is_exact_and_has_no_index_and_no_local_label():
    with open(environment.installFile('requirements.lock')) as file:
        lines = [line.strip() for line in file if not line.startswith('#')]
    assert 'torch==2.13.0' in lines
    assert all(line.count('==') == 1 and '+' not in line and '/' not in line for line in lines)


def test_nothing_of_scipions_python_leaks_into_the_engine(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', '/scipion')
    monkeypatch.setenv('PYTHONHOME', '/scipion')
    monkeypatch.setenv('VIRTUAL_ENV', '/scipion')
    environ = Plugin.getEnviron()
    assert environ['PYTHONPATH'] == Plugin.getEngineFolder() and environ['PYTHONNOUSERSITE'] == '1'
    assert 'PYTHONHOME' not in environ and 'VIRTUAL_ENV' not in environ


class FakeProtocol:
    """runJob as pyworkflow's executors do it: the GPUs fill the placeholder, then everything goes through a shell."""

    def __init__(self, gpus=()):
        self.gpus = list(gpus)

    def runJob(self, program, arguments, env=None, numberOfMpi=1, numberOfThreads=1):
        gpus = self.gpus if '%(GPU)s' in arguments else []
        process.runJob(None, program, arguments, numberOfMpi, numberOfThreads, env=env, gpuList=gpus)


def runEngine(folder, script, gpus=(), useGpu=False):
    """Run a shell script as the engine, in the current folder."""
    program = folder / "it's a 100% \"python\""
    writeProgram(program, '#!/bin/sh\n' + script)
    return engine_job.run(FakeProtocol(gpus), str(program), Environ(os.environ), 'pick',
                          os.path.join('Runs', 'request.json'), os.path.join('Runs', 'result.json'), useGpu)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in a folder with spaces, a % and quotes, as the current folder."""
    folder = tmp_path / "50% of \"my\" project's data %(GPU)s"
    (folder / 'Runs').mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def writeResult(path, **outputs):
    contract.Result('pick', outputs).write(path)


@pytest.mark.parametrize('gpus, useGpu, device', [((0, 1), True, '0 1'), ((2,), True, '2'), ((0,), False, 'cpu')])
def test_engine_runs_in_paths_with_spaces_percent_and_quotes(project, tmp_path, gpus, useGpu, device):
    writeResult(str(tmp_path / 'made.json'), picks=7)
    script = 'for word; do echo "$word"; done >words; cp ../made.json Runs/result.json\n'
    result = runEngine(tmp_path, script, gpus, useGpu)
    assert result.outputs == {'picks': 7}
    assert (project / 'words').read_text().splitlines() == [
        '-m', 'cryodl', 'pick', '--request', 'Runs/request.json', '--result', 'Runs/result.json', '--device', device]


def test_path_outside_the_project_survives_the_shell(project, tmp_path):
    path = str(tmp_path / 'a "b" $HOME `c`' / 'request.json')
    echoed = subprocess.check_output('printf %%s "%s"' % engine_job.jobPath(path).replace('%', '%%'), shell=True)
    assert os.path.abspath(echoed.decode()) == path


def test_path_outside_the_project_with_percent_is_refused(project, tmp_path):
    with pytest.raises(ValueError, match='% sign'):
        engine_job.jobPath(str(tmp_path / '50%' / 'request.json'))


@pytest.mark.parametrize('kind, error', [('input', ValueError), ('internal', RuntimeError)])
def test_failure_is_told_in_the_engines_own_words(project, tmp_path, kind, error):
    contract.Failure('pick', kind, 'mic7.mrc is truncated.').write(str(tmp_path / 'failure.json'))
    with pytest.raises(error, match='^mic7.mrc is truncated.$'):
        runEngine(tmp_path, 'cp ../failure.json Runs; exit 2\n')


def test_old_results_are_not_taken_for_new_ones(project, tmp_path):
    writeResult('Runs/result.json', picks=7)
    with pytest.raises(RuntimeError, match='left no result'):
        runEngine(tmp_path, 'exit 0\n')


def test_killed_engine_is_told_as_lack_of_memory(project, tmp_path):
    with pytest.raises(RuntimeError, match='signal 9.*memory'):
        runEngine(tmp_path, 'kill -9 $$\n')
