# SPDX-License-Identifier: GPL-3.0-or-later
"""
A DOI stands here as an address: Scipion makes its links of this field as it is, and shows accents only as letters.

@software{cryodl,
    title = {cryodl: deep learning for cryo-EM inside Scipion},
    author = {{The cryodl developers}},
    year = {2026}, note = {Scipion plugin scipion-em-cryodl}
}
@incollection{Ronneberger2015,
    title = {U-Net: Convolutional Networks for Biomedical Image Segmentation},
    author = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
    booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI) 2015},
    series = {Lecture Notes in Computer Science}, volume = {9351}, pages = {234--241}, publisher = {Springer},
    year = {2015},
    doi = {https://doi.org/10.1007/978-3-319-24574-4_28}
}
@article{Bepler2019,
    title = {Positive-unlabeled convolutional neural networks for particle picking in cryo-electron micrographs},
    author = {Bepler, Tristan and Morin, Andrew and Rapp, Micah and Brasch, Julia and Shapiro, Lawrence and
              Noble, Alex J. and Berger, Bonnie},
    journal = {Nature Methods}, volume = {16}, pages = {1153--1160}, year = {2019},
    doi = {https://doi.org/10.1038/s41592-019-0575-8}
}
@article{Wagner2019,
    title = {SPHIRE-crYOLO is a fast and accurate fully automated particle picker for cryo-EM},
    author = {Wagner, Thorsten and Merino, Felipe and Stabrin, Markus and Moriya, Toshio and Antoni, Claudia and
              Apelbaum, Amir and Hagel, Philine and Sitsel, Oleg and Raisch, Tobias and Prumbaum, Daniel and
              Quentin, Dennis and Roderer, Daniel and Tacke, Sebastian and Siebolds, Birte and Schubert, Evelyn and
              Shaikh, Tanvir R. and Lill, Pascal and Gatsogiannis, Christos and Raunser, Stefan},
    journal = {Communications Biology}, volume = {2}, pages = {218}, year = {2019},
    doi = {https://doi.org/10.1038/s42003-019-0437-z}
}
@article{Rohou2015,
    title = {CTFFIND4: Fast and accurate defocus estimation from electron micrographs},
    author = {Rohou, Alexis and Grigorieff, Nikolaus},
    journal = {Journal of Structural Biology}, volume = {192}, pages = {216--221}, year = {2015},
    doi = {https://doi.org/10.1016/j.jsb.2015.08.008}
}
@article{Wang2016,
    title = {DeepPicker: A deep learning approach for fully automated particle picking in cryo-EM},
    author = {Wang, Feng and Gong, Huichao and Liu, Gaochao and Li, Meijing and Yan, Chuangye and Xia, Tian and
              Li, Xueming and Zeng, Jianyang},
    journal = {Journal of Structural Biology}, volume = {195}, pages = {325--336}, year = {2016},
    doi = {https://doi.org/10.1016/j.jsb.2016.07.006}
}
@article{Zhu2017,
    title = {A deep convolutional neural network approach to single-particle recognition in cryo-electron microscopy},
    author = {Zhu, Yanan and Ouyang, Qi and Mao, Youdong},
    journal = {BMC Bioinformatics}, volume = {18}, pages = {348}, year = {2017},
    doi = {https://doi.org/10.1186/s12859-017-1757-y}
}
@inproceedings{Kiryo2017,
    title = {Positive-Unlabeled Learning with Non-Negative Risk Estimator},
    author = {Kiryo, Ryuichi and Niu, Gang and du Plessis, Marthinus C. and Sugiyama, Masashi},
    booktitle = {Advances in Neural Information Processing Systems 30}, pages = {1675--1685}, year = {2017},
    url = {https://arxiv.org/abs/1703.00593}
}
@inproceedings{Redmon2017,
    title = {YOLO9000: Better, Faster, Stronger},
    author = {Redmon, Joseph and Farhadi, Ali},
    booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR) 2017}, pages = {6517--6525},
    year = {2017},
    doi = {https://doi.org/10.1109/CVPR.2017.690}
}
@article{Tang2007,
    title = {EMAN2: An extensible image processing suite for electron microscopy},
    author = {Tang, Guang and Peng, Liwei and Baldwin, Philip R. and Mann, Deepinder S. and Jiang, Wen and Rees, Ian and
              Ludtke, Steven J.},
    journal = {Journal of Structural Biology}, volume = {157}, pages = {38--46}, year = {2007},
    doi = {https://doi.org/10.1016/j.jsb.2006.05.009}
}
@article{Chen2017,
    title = {Convolutional neural networks for automated annotation of cellular cryo-electron tomograms},
    author = {Chen, Muyuan and Dai, Wei and Sun, Stella Y. and Jonasch, Darius and He, Cynthia Y. and
              Schmid, Michael F. and Chiu, Wah and Ludtke, Steven J.},
    journal = {Nature Methods}, volume = {14}, pages = {983--985}, year = {2017},
    doi = {https://doi.org/10.1038/nmeth.4405}
}
@article{Bell2018,
    title = {New software tools in EMAN2 inspired by EMDatabank map challenge},
    author = {Bell, James M. and Chen, Muyuan and Durmaz, Tunay and Fluty, Adam C. and Ludtke, Steven J.},
    journal = {Journal of Structural Biology}, volume = {204}, pages = {283--290}, year = {2018},
    doi = {https://doi.org/10.1016/j.jsb.2018.09.002}
}
@inproceedings{Isola2017,
    title = {Image-to-Image Translation with Conditional Adversarial Networks},
    author = {Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A.},
    booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR) 2017}, year = {2017},
    doi = {https://doi.org/10.1109/CVPR.2017.632},
    url = {https://arxiv.org/abs/1611.07004}
}
@article{Zhang2023SCUNet,
    title = {Practical Blind Image Denoising via Swin-Conv-UNet and Data Synthesis},
    author = {Zhang, Kai and Li, Yawei and Liang, Jingyun and Cao, Jiezhang and Zhang, Yulun and Tang, Hao and
              Fan, Deng-Ping and Timofte, Radu and Van Gool, Luc},
    journal = {Machine Intelligence Research}, volume = {20}, pages = {822--836}, year = {2023},
    doi = {https://doi.org/10.1007/s11633-023-1466-0}
}
@article{He2023EMReady,
    title = {Improvement of cryo-EM maps by simultaneous local and non-local deep learning},
    author = {He, Jiahua and Li, Tao and Huang, Sheng-You},
    journal = {Nature Communications}, volume = {14}, pages = {3217}, year = {2023},
    doi = {https://doi.org/10.1038/s41467-023-39031-1}
}
@article{Tagare2015,
    title = {Directly reconstructing principal components of heterogeneous particles from cryo-EM images},
    author = {Tagare, Hemant D. and Kucukelbir, Alp and Sigworth, Fred J. and Wang, Hongwei and Rao, Murali},
    journal = {Journal of Structural Biology}, volume = {191}, pages = {245--262}, year = {2015},
    doi = {https://doi.org/10.1016/j.jsb.2015.05.007}
}
@article{Chen2021,
    title = {Deep learning-based mixed-dimensional Gaussian mixture model for characterizing variability in cryo-EM},
    author = {Chen, Muyuan and Ludtke, Steven J.},
    journal = {Nature Methods}, volume = {18}, pages = {930--936}, year = {2021},
    doi = {https://doi.org/10.1038/s41592-021-01220-5}
}
@article{Nakane2018,
    title = {Characterisation of molecular motions in cryo-EM single-particle data by multi-body refinement in RELION},
    author = {Nakane, Takanori and Kimanius, Dari and Lindahl, Erik and Scheres, Sjors H. W.},
    journal = {eLife}, volume = {7}, pages = {e36861}, year = {2018},
    doi = {https://doi.org/10.7554/eLife.36861}
}
@article{Tipping1999,
    title = {Probabilistic Principal Component Analysis},
    author = {Tipping, Michael E. and Bishop, Christopher M.},
    journal = {Journal of the Royal Statistical Society B}, volume = {61}, pages = {611--622}, year = {1999},
    doi = {https://doi.org/10.1111/1467-9868.00196}
}
@article{Punjani2017,
    title = {cryoSPARC: algorithms for rapid unsupervised cryo-EM structure determination},
    author = {Punjani, Ali and Rubinstein, John L. and Fleet, David J. and Brubaker, Marcus A.},
    journal = {Nature Methods}, volume = {14}, pages = {290--296}, year = {2017},
    doi = {https://doi.org/10.1038/nmeth.4169}
}
@article{Scheres2012,
    title = {RELION: Implementation of a Bayesian approach to cryo-EM structure determination},
    author = {Scheres, Sjors H. W.},
    journal = {Journal of Structural Biology}, volume = {180}, pages = {519--530}, year = {2012},
    doi = {https://doi.org/10.1016/j.jsb.2012.09.006}
}
@article{Gorski2005,
    title = {HEALPix: A Framework for High-Resolution Discretization and Fast Analysis of Data Distributed on the
             Sphere},
    author = {Górski, K. M. and Hivon, E. and Banday, A. J. and Wandelt, B. D. and Hansen, F. K. and Reinecke, M.
              and               Bartelmann, M.},
    journal = {The Astrophysical Journal}, volume = {622}, pages = {759--771}, year = {2005},
    doi = {https://doi.org/10.1086/427976}
}
@inproceedings{Lehtinen2018,
    title = {Noise2Noise: Learning Image Restoration without Clean Data},
    author = {Lehtinen, Jaakko and Munkberg, Jacob and Hasselgren, Jon and Laine, Samuli and Karras, Tero and
              Aittala, Miika and Aila, Timo},
    booktitle = {Proceedings of the 35th International Conference on Machine Learning (ICML)},
    series = {Proceedings of Machine Learning Research}, volume = {80}, pages = {2965--2974}, year = {2018},
    url = {https://arxiv.org/abs/1803.04189}
}
@inproceedings{Buchholz2019,
    title = {Cryo-CARE: Content-Aware Image Restoration for Cryo-Transmission Electron Microscopy Data},
    author = {Buchholz, Tim-Oliver and Jordan, Mareike and Pigino, Gaia and Jug, Florian},
    booktitle = {2019 IEEE 16th International Symposium on Biomedical Imaging (ISBI)}, pages = {502--506},
    year = {2019},
    doi = {https://doi.org/10.1109/ISBI.2019.8759519}
}
@article{Liu2022IsoNet,
    title = {Isotropic reconstruction for electron tomography with deep learning},
    author = {Liu, Yun-Tao and Zhang, Heng and Wang, Hui and Tao, Chang-Lu and Bi, Guo-Qiang and Zhou, Z. Hong},
    journal = {Nature Communications}, volume = {13}, pages = {6482}, year = {2022},
    doi = {https://doi.org/10.1038/s41467-022-33957-8}
}
@article{Wiedemann2024,
    title = {A deep learning method for simultaneous denoising and missing wedge reconstruction in cryogenic electron
             tomography},
    author = {Wiedemann, Simon and Heckel, Reinhard},
    journal = {Nature Communications}, volume = {15}, pages = {8255}, year = {2024},
    doi = {https://doi.org/10.1038/s41467-024-51438-y}
}
@inproceedings{Pang2021,
    title = {Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image Denoising},
    author = {Pang, Tongyao and Zheng, Huan and Quan, Yuhui and Ji, Hui},
    booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR) 2021}, pages = {2043--2052},
    year = {2021},
    doi = {https://doi.org/10.1109/CVPR46437.2021.00208}
}
@article{Bepler2020,
    title = {Topaz-Denoise: general deep denoising models for cryoEM and cryoET},
    author = {Bepler, Tristan and Kelley, Kotaro and Noble, Alex J. and Berger, Bonnie},
    journal = {Nature Communications}, volume = {11}, pages = {5208}, year = {2020},
    doi = {https://doi.org/10.1038/s41467-020-18952-1}
}
@article{Che2018,
    title = {Improved deep learning-based macromolecules structure classification from electron cryo-tomograms},
    author = {Che, Chengqian and Lin, Ruogu and Zeng, Xiangrui and Elmaaroufi, Karim and Galeotti, John and Xu, Min},
    journal = {Machine Vision and Applications}, volume = {29}, pages = {1227--1236}, year = {2018},
    doi = {https://doi.org/10.1007/s00138-018-0949-4},
    url = {https://arxiv.org/abs/1707.04885}
}
@article{Xu2012,
    title = {High-throughput subtomogram alignment and classification by Fourier space constrained fast volumetric
             matching},
    author = {Xu, Min and Beck, Martin and Alber, Frank},
    journal = {Journal of Structural Biology}, volume = {178}, pages = {152--164}, year = {2012},
    doi = {https://doi.org/10.1016/j.jsb.2012.02.014}
}
@inproceedings{Cicek2016,
    title = {3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation},
    author = {Çiçek, Özgün and Abdulkadir, Ahmed and Lienkamp, Soeren S. and Brox, Thomas and
              Ronneberger, Olaf},
    booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI) 2016},
    series = {Lecture Notes in Computer Science}, volume = {9901}, pages = {424--432}, year = {2016},
    url = {https://arxiv.org/abs/1606.06650}
}
@article{Cao2026EMReady2,
    title = {EMReady2: improvement of cryo-EM and cryo-ET maps by local quality-aware deep learning with Mamba},
    author = {Cao, Hong and Zhu, Yueting and Li, Tao and Chen, Ji and He, Jiahua and Wang, Xinggang and
              Huang, Sheng-You},
    journal = {Nature Communications}, year = {2026},
    doi = {https://doi.org/10.1038/s41467-026-71794-1}
}
@article{Rosenthal2003,
    title = {Optimal determination of particle orientation, absolute hand, and contrast loss in single-particle electron
             cryomicroscopy},
    author = {Rosenthal, Peter B. and Henderson, Richard},
    journal = {Journal of Molecular Biology}, volume = {333}, pages = {721--745}, year = {2003},
    doi = {https://doi.org/10.1016/j.jmb.2003.07.013}
}
@article{Pintilie2020,
    title = {Measurement of atom resolvability in cryo-EM maps with Q-scores},
    author = {Pintilie, Grigore and Zhang, Kaiming and Su, Zhaoming and Li, Shanshan and Schmid, Michael F. and
              Chiu, Wah},
    journal = {Nature Methods}, volume = {17}, pages = {328--334}, year = {2020},
    doi = {https://doi.org/10.1038/s41592-020-0731-1}
}
@article{Cardone2013,
    title = {One number does not fit all: Mapping local variations in resolution in cryo-EM reconstructions},
    author = {Cardone, Giovanni and Heymann, J. Bernard and Steven, Alasdair C.},
    journal = {Journal of Structural Biology}, volume = {184}, pages = {226--236}, year = {2013},
    doi = {https://doi.org/10.1016/j.jsb.2013.08.002}
}
@article{Liebschner2019,
    title = {Macromolecular structure determination using X-rays, neutrons and electrons: recent developments in
             Phenix},
    author = {Liebschner, Dorothee and Afonine, Pavel V. and Baker, Matthew L. and Bunkóczi, Gábor and
              Chen, Vincent B. and Croll, Tristan I. and Hintze, Bradley and Hung, Li-Wei and Jain, Swati and
              McCoy, Airlie J. and Moriarty, Nigel W. and Oeffner, Robert D. and Poon, Billy K. and Prisant, Michael G.
              and Read, Randy J. and Richardson, Jane S. and Richardson, David C. and Sammito, Massimo D. and
              Sobolev, Oleg V. and Stockwell, Duncan H. and Terwilliger, Thomas C. and Urzhumtsev, Alexandre G. and
              Videau, Lizbeth L. and Williams, Christopher J. and Adams, Paul D.},
    journal = {Acta Crystallographica Section D}, volume = {75}, pages = {861--877}, year = {2019},
    doi = {https://doi.org/10.1107/S2059798319011471}
}
@article{Moebel2021,
    title = {Deep learning improves macromolecule identification in 3D cellular cryo-electron tomograms},
    author = {Moebel, Emmanuel and Martinez-Sanchez, Antonio and Lamm, Lorenz and Righetto, Ricardo D. and
              Wietrzynski, Wojciech and Albert, Sahradha and Larivière, Damien and Fourmentin, Eric and
              Pfeffer, Stefan and Ortiz, Julio and Baumeister, Wolfgang and Peng, Tingying and Engel, Benjamin D. and
              Kervrann, Charles},
    journal = {Nature Methods}, volume = {18}, pages = {1386--1394}, year = {2021},
    doi = {https://doi.org/10.1038/s41592-021-01275-4}
}
@article{Roseman2003,
    title = {Particle finding in electron micrographs using a fast local correlation algorithm},
    author = {Roseman, Alan M.},
    journal = {Ultramicroscopy}, volume = {94}, pages = {225--236}, year = {2003},
    doi = {https://doi.org/10.1016/S0304-3991(02)00333-9}
}
@article{Chaillet2023,
    title = {Extensive Angular Sampling Enables the Sensitive Localization of Macromolecules in Electron Tomograms},
    author = {Chaillet, Marten L. and van der Schot, Gijs and Gubins, Ilja and Roet, Sander and Veltkamp, Remco C. and
              Förster, Friedrich},
    journal = {International Journal of Molecular Sciences}, volume = {24}, pages = {13375}, year = {2023},
    doi = {https://doi.org/10.3390/ijms241713375}
}"""
