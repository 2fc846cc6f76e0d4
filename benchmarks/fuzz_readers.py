# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's readers of each kind of file, called as the commands call them."""


def readers_of(kind: str):
    """Functions of a path that read such a file as the commands do."""
    from cryodl.contract import Request, check_model
    from cryodl.io.coordinates import read_coordinates
    from cryodl.io.files import expand_paths
    from cryodl.io.micrographs import micrograph_shape, pixel_size_warnings, read_micrograph
    from cryodl.io.model import read_model
    from cryodl.io.particle_sets import read_particles
    from cryodl.io.subtomograms import read_subtomograms
    from cryodl.tomograms.annotations.store import read_annotations

    micrograph = (read_micrograph, micrograph_shape, lambda path: pixel_size_warnings([path], 2.0))
    structure = (_density, _atoms)
    return dict(
        mrc=micrograph,
        mrc_gz=micrograph,
        tiff=micrograph,
        tiff_gz=micrograph,
        tomogram=(_tomogram,),
        map=(_map, _density),
        stack=(_images,),
        star=(read_coordinates,),
        particles=(lambda path: read_particles(path).images([0]),),
        subtomograms=(lambda path: read_subtomograms(path).volumes([0]),),
        box=(read_coordinates,),
        topaz=(read_coordinates,),
        list=(lambda path: expand_paths([str(path)]),),
        pdb=structure,
        cif=structure,
        card=(lambda path: check_model(path.parent),),
        safetensors=(lambda path: read_model(path.parent),),
        request=(Request.read,),
        annotations=(lambda path: _tiles(read_annotations(path.parent)),),
    )[kind]


def _tiles(annotations):
    for tile in annotations.tiles():
        annotations.drawing(tile)


def _tomogram(path):
    from cryodl.io.tomograms import Tomogram

    Tomogram(path).part((0, 2))


def _images(path):
    from cryodl.io.stacks import read_images, stack_shape

    stack_shape(str(path))
    read_images([str(path)], [0])


def _map(path):
    from cryodl.maps.measures.volume import read_volume

    read_volume(path)


def _density(path):
    from cryodl.simulate.structures import load_density

    load_density(path, 6.0)


def _atoms(path):
    from cryodl.maps.measures.atoms import read_atoms

    read_atoms(path)
