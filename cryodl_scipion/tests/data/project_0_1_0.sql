BEGIN TRANSACTION;
CREATE TABLE Objects
                     (id        INTEGER PRIMARY KEY AUTOINCREMENT,
                      parent_id INTEGER REFERENCES Objects(id),
                      name      TEXT,                -- object name 
                      classname TEXT,                -- object's class name
                      value     TEXT DEFAULT NULL,   -- object value, used for Scalars
                      label     TEXT DEFAULT NULL,   -- object label, text used for display
                      comment   TEXT DEFAULT NULL,   -- object comment, text used for annotations
                      creation  DATE                 -- creation date and time of the object
                      );
INSERT INTO "Objects" VALUES(1,NULL,'CreationTime','String','2026-11-22 02:11:43.132421','',NULL,'2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(2,NULL,'','CryodlProtImportModel',NULL,'cryodl - import model','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(3,2,'2._prerequisites','CsvList','','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(4,2,'2.status','String','finished','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(5,2,'2.initTime','String','2026-11-22 02:11:54.176985','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(6,2,'2.endTime','String','2026-11-22 02:11:54.575553','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(7,2,'2._error','String',NULL,'','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(8,2,'2.interactive','Boolean','0','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(9,2,'2._resultFiles','String',NULL,'','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(10,2,'2._needsGPU','Boolean','1','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(11,2,'2.workingDir','String','Runs/000002_CryodlProtImportModel','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(12,2,'2._outputs','CsvList','outputModel','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(13,2,'2._useOutputList','Boolean','1','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(14,2,'2.expertLevel','Integer','0','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(15,2,'2.runName','String',NULL,'','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(16,2,'2.runMode','Integer','0','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(17,2,'2.modelFolder','String','/old/checkout/cryodl_scipion/engine/cryodl/models/general','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(18,2,'2.lastUpdateTimeStamp','String','2026-11-22 02:11:54.598872','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(19,2,'2.numberOfMpi','Integer','1','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(20,2,'2.numberOfThreads','Integer','1','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(21,2,'2.hostName','String','localhost','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(22,2,'2.hostFullName','String','localhost','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(23,2,'2._useQueue','Boolean','0','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(24,2,'2._queueParams','String',NULL,'','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(25,2,'2._jobId','CsvList','','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(26,2,'2._pid','Integer','0','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(27,2,'2._stepsDone','Integer','1','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(28,2,'2._cpuTime','Integer','0','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(29,2,'2._numberOfSteps','Integer','1','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(30,2,'2.allowHeader','Boolean','1','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(31,2,'2.summaryVar','String',NULL,'','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(32,2,'2.methodsVar','String',NULL,'','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(33,2,'2.forceSchedule','Boolean','0','','','2026-11-22 02:11:43');
INSERT INTO "Objects" VALUES(34,2,'2.outputModel','CryodlModel',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(35,34,'2.34._folder','String','Runs/000002_CryodlProtImportModel/extra/model','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(36,34,'2.34._modelName','String','general','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(37,34,'2.34._kind','String','picker','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(38,34,'2.34._network','String','unet','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(39,34,'2.34._particleDiameter','Float','200.0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(40,34,'2.34._threshold','Float','0.339650267008333','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(41,34,'2.34._pixelSizes','String','','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(42,34,'2.34._feature','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(43,34,'2.34._annotator','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(44,34,'2.34._classes','CsvList','','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(45,NULL,'','CryodlProtAssess',NULL,'cryodl - assess micrographs','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(46,45,'45._prerequisites','CsvList','','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(47,45,'45.status','String','saved','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(48,45,'45.initTime','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(49,45,'45.endTime','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(50,45,'45._error','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(51,45,'45.interactive','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(52,45,'45._resultFiles','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(53,45,'45._needsGPU','Boolean','1','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(54,45,'45.workingDir','String','Runs/000045_CryodlProtAssess','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(55,45,'45._outputs','CsvList','','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(56,45,'45._useOutputList','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(57,45,'45.expertLevel','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(58,45,'45.runName','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(59,45,'45.runMode','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(60,45,'45.inputMicrographs','Pointer',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(61,60,'45.60._extended','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(62,45,'45.inputCoordinates','Pointer',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(63,62,'45.62._extended','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(64,45,'45.particleDiameter','Float',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(65,45,'45.minimumParticles','Integer','5','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(66,45,'45.leastScore','Float',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(67,45,'45.mostContaminated','Float','20.0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(68,45,'45.maximumCarbon','Float','33.0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(69,45,'45.mostGradient','Float',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(70,45,'45.streamingWarning','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(71,45,'45.streamingSleepOnWait','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(72,45,'45.streamingBatchSize','Integer','1','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(73,45,'45.batchSize','Integer','16','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(74,45,'45.hostName','String','localhost','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(75,45,'45.numberOfThreads','Integer','3','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(76,45,'45.binThreads','Integer','2','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(77,45,'45.lastUpdateTimeStamp','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(78,45,'45.numberOfMpi','Integer','1','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(79,45,'45.hostFullName','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(80,45,'45._useQueue','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(81,45,'45._queueParams','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(82,45,'45._jobId','CsvList','','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(83,45,'45._pid','Integer',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(84,45,'45._stepsDone','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(85,45,'45._cpuTime','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(86,45,'45._numberOfSteps','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(87,45,'45.allowHeader','Boolean','1','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(88,45,'45.summaryVar','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(89,45,'45.methodsVar','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(90,45,'45.forceSchedule','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(91,NULL,'','CryodlProtPick',NULL,'cryodl - pick particles','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(92,91,'91._prerequisites','CsvList','','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(93,91,'91.status','String','saved','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(94,91,'91.initTime','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(95,91,'91.endTime','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(96,91,'91._error','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(97,91,'91.interactive','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(98,91,'91._resultFiles','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(99,91,'91._needsGPU','Boolean','1','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(100,91,'91.workingDir','String','Runs/000091_CryodlProtPick','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(101,91,'91._outputs','CsvList','','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(102,91,'91._useOutputList','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(103,91,'91.expertLevel','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(104,91,'91.runName','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(105,91,'91.runMode','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(106,91,'91.inputMicrographs','Pointer',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(107,106,'91.106._extended','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(108,91,'91.modelFrom','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(109,91,'91.inputModel','Pointer','2','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(110,109,'91.109._extended','String','outputModel','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(111,91,'91.shippedModel','String','general','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(112,91,'91.particleDiameter','Float',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(113,91,'91.threshold','Float',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(114,91,'91.thresholdRule','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(115,91,'91.contrast','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(116,91,'91.boxSize','Integer',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(117,91,'91.minimumDistance','Float',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(118,91,'91.border','Float','0.0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(119,91,'91.memory','Float','0.4','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(120,91,'91.useGpu','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(121,91,'91.gpuList','String','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(122,91,'91.streamingWarning','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(123,91,'91.streamingSleepOnWait','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(124,91,'91.streamingBatchSize','Integer','16','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(125,91,'91.hostName','String','localhost','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(126,91,'91.numberOfThreads','Integer','2','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(127,91,'91.binThreads','Integer','2','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(128,91,'91.lastUpdateTimeStamp','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(129,91,'91.numberOfMpi','Integer','1','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(130,91,'91.hostFullName','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(131,91,'91._useQueue','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(132,91,'91._queueParams','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(133,91,'91._jobId','CsvList','','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(134,91,'91._pid','Integer',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(135,91,'91._stepsDone','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(136,91,'91._cpuTime','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(137,91,'91._numberOfSteps','Integer','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(138,91,'91.allowHeader','Boolean','1','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(139,91,'91.summaryVar','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(140,91,'91.methodsVar','String',NULL,'','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(141,91,'91.forceSchedule','Boolean','0','','','2026-11-22 02:11:57');
INSERT INTO "Objects" VALUES(142,91,'91.avoid','Integer','2','','','2026-11-23 06:38:17');
INSERT INTO "Objects" VALUES(143,91,'91.featureMaps','Integer','0','','','2026-11-23 06:38:17');
INSERT INTO "Objects" VALUES(144,91,'91.batchWait','Integer','60','','','2026-11-23 06:38:17');
CREATE TABLE Relations
                     (id        INTEGER PRIMARY KEY AUTOINCREMENT,
                      parent_id INTEGER REFERENCES Objects(id), -- object that created the relation
                      name      TEXT,               -- relation name 
                      classname TEXT DEFAULT NULL,  -- relation's class name
                      value     TEXT DEFAULT NULL,  -- relation value
                      label     TEXT DEFAULT NULL,  -- relation label, text used for display
                      comment   TEXT DEFAULT NULL,  -- relation comment, text used for annotations
                      object_parent_id  INTEGER REFERENCES Objects(id) ON DELETE CASCADE,
                      object_child_id  INTEGER REFERENCES Objects(id) ON DELETE CASCADE,
                      creation  DATE,                 -- creation date and time of the object
                      object_parent_extended TEXT DEFAULT NULL, -- extended property to consider internal objects
                      object_child_extended TEXT DEFAULT NULL
                      );
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('Objects',144);
COMMIT;
