# SPDX-License-Identifier: GPL-3.0-or-later
"""
@software{cryodl,
    title = {cryodl: deep learning for cryo-EM inside Scipion},
    author = {{The cryodl developers}},
    year = {2026},
    note = {Scipion plugin scipion-em-cryodl}
}
@incollection{Ronneberger2015,
    title = {U-Net: Convolutional Networks for Biomedical Image Segmentation},
    author = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
    booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI) 2015},
    series = {Lecture Notes in Computer Science},
    volume = {9351},
    pages = {234--241},
    publisher = {Springer},
    year = {2015},
    doi = {10.1007/978-3-319-24574-4_28},
    url = {https://doi.org/10.1007/978-3-319-24574-4_28}
}
@article{Bepler2019,
    title = {Positive-unlabeled convolutional neural networks for particle picking in cryo-electron micrographs},
    author = {Bepler, Tristan and Morin, Andrew and Rapp, Micah and Brasch, Julia and Shapiro, Lawrence and
              Noble, Alex J. and Berger, Bonnie},
    journal = {Nature Methods},
    volume = {16},
    pages = {1153--1160},
    year = {2019},
    doi = {10.1038/s41592-019-0575-8},
    url = {https://doi.org/10.1038/s41592-019-0575-8}
}
@article{Wagner2019,
    title = {SPHIRE-crYOLO is a fast and accurate fully automated particle picker for cryo-EM},
    author = {Wagner, Thorsten and Merino, Felipe and Stabrin, Markus and Moriya, Toshio and Antoni, Claudia and
              Apelbaum, Amir and Hagel, Philine and Sitsel, Oleg and Raisch, Tobias and Prumbaum, Daniel and
              Quentin, Dennis and Roderer, Daniel and Tacke, Sebastian and Siebolds, Birte and Schubert, Evelyn and
              Shaikh, Tanvir R. and Lill, Pascal and Gatsogiannis, Christos and Raunser, Stefan},
    journal = {Communications Biology},
    volume = {2},
    pages = {218},
    year = {2019},
    doi = {10.1038/s42003-019-0437-z},
    url = {https://doi.org/10.1038/s42003-019-0437-z}
}
"""
