package storetest

// Guarantee is a promise that people rely on, with the checks that ask for it.
type Guarantee struct {
	// Title is the promise, as docs/guarantees.md heads it.
	Title string
	// Mechanism says in a sentence by what it is kept.
	Mechanism string
	Checks    []Check
}

// Check asks for one part of a guarantee.
type Check struct {
	Name string
	Run  func(r Report, p Place)
}

// Guarantees returns the whole suite.
func Guarantees() []Guarantee {
	return append(transactionGuarantees(), recordGuarantees()...)
}

// transactionGuarantees are those of calls beside each other.
func transactionGuarantees() []Guarantee {
	return []Guarantee{
		{"Calls are as if one came after the other",
			"a call runs on a snapshot; in the line, what it read is held against the journal " +
				"since, and it runs again if that changed",
			[]Check{
				{"WritesAreSerializable", writesAreSerializable},
				{"WhatACallReadsStillHoldsWhenItIsCommitted", readsHold},
				{"NoLostUpdate", noLostUpdate},
				{"NoWriteSkew", noWriteSkew},
				{"NoPhantoms", noPhantoms},
				{"AHundredAddAtOnce", hundredAdd},
				{"MoneyIsConservedInACrowd", moneyInACrowd},
				{"UniqueValuesTakenMeanwhileAreCaught", uniqueMeanwhile},
				{"ChildrenAndTheirParentsMeet", childrenMeet},
				{"ACrowdOfChanceIsAsIfOneByOne", aCrowdOfChance},
			}},
		{"A call is kept whole or not at all",
			"one transaction of the database, a savepoint for each call that shares it",
			[]Check{
				{"FailedCallLeavesNothing", failedCallLeavesNothing},
				{"PanicLeavesNothing", panicLeavesNothing},
				{"PanicInAnyRunLeavesNothing", panicInAnyRun},
				{"ErrorInAnyRunLeavesNothing", errorInAnyRun},
				{"ContextEndsInTheMiddle", contextEnds},
				{"QueuedCallLeavesWhenItsContextEnds", queuedCallLeaves},
				{"DryRunLeavesNothing", dryRunLeavesNothing},
				{"ErrorBeforeCommitLeavesNothing", errorBeforeCommit},
				{"CommitThatFailsTakesNobodyAlong", failedCommitAmongMany},
				{"OnlyTheLastRunOfACallCounts", lastRunCounts},
				{"WhatALaterRunWritesMayBeTakenLongSince", takenForALaterRun},
				{"WhatALaterRunWritesForAWhileMayBeTakenToo", takenForAWhile},
				{"ClosedStoreRefuses", closedStoreRefuses},
			}},
		{"A call has one effect, however often it is sent",
			"key, fingerprint and answer stand in the entry of the effect, under a unique index",
			[]Check{
				{"SameKeyHasTheFirstAnswer", sameKeySameAnswer},
				{"KeyIsOfSubjectAndOperation", keyScope},
				{"SameKeyOtherInputIsRefused", otherInput},
				{"NothingIsToldBeforeItIsVouchedFor", vouchedFirst},
				{"RefusalIsKept", refusalIsKept},
				{"KeptRefusalsAreJudgedOnTheTrueState", refusalsAreTrue},
				{"ARefusalKnowsWhatWasTakenMeanwhile", refusedBesideAValue},
				{"OtherFaultsAreNotKept", othersAreNotKept},
				{"SecretReplyIsNotKept", secretIsNotKept},
				{"KeyIsFreeAfterFourteenDays", keyIsFreed},
				{"EqualCallsAtOnceHaveOneEffect", equalCallsAtOnce},
				{"CallInFlightIsToldSo", inFlight},
				{"ErrorAfterCommitIsUnknown", errorAfterCommit},
			}},
		{"The journal is the whole history",
			"an entry is written in the transaction of its changes; its place is the next number " +
				"after the last, whose row is locked",
			[]Check{
				{"FollowSeesEachEntryOnceInOrder", followSeesAll},
				{"IntentsAreSeenOnceInOrder", intentsSeeAll},
				{"FollowEndsWithItsContext", followEnds},
				{"EntryHoldsTheCall", entryHoldsTheCall},
				{"CallWithoutEffectLeavesNoEntry", noEffectNoEntry},
				{"OldEntriesKeepTheirShape", oldEntriesKeepShape},
			}},
		{"A read sees one committed state, and everything acknowledged",
			"a read is a transaction of its own on one snapshot, begun after the call came",
			[]Check{
				{"ReadersSeeOneStateWhileOthersWrite", readersSeeOneState},
				{"AStateKnowsItsPlace", aStateKnowsItsPlace},
				{"DryRunBesideOthersIsOneState", dryRunBeside},
				{"WhatWasAcknowledgedIsSeenByTheNext", acknowledgedIsSeen},
				{"ReadersBesideChangesOfShapeSeeAll", readersBesideShapes},
			}},
		{"Any number of processes are one",
			"the row of the last entry is locked before a commit; who finds it moved reads the " +
				"entries between; a file is held by one process",
			[]Check{
				{"TwoHandlesHaveOneHistory", twoHandles},
				{"WhoWasAloneFindsTheOther", aloneFindsTheOther},
				{"SameKeyAtTwoHandlesHasOneEffect", keyAtTwoHandles},
				{"KeyUsedElsewhereMeanwhileIsFound", keyUsedElsewhere},
				{"WhatIsLostBesideAKeyIsTold", lostBesideAKey},
				{"ShapesReachTheOtherHandle", shapesReachTheOther},
			}},
	}
}

// recordGuarantees are those of what is kept, and of how it is found.
func recordGuarantees() []Guarantee {
	return []Guarantee{
		{"A call sees its own writes",
			"writes are kept with the call; a query that must see them is asked in the line",
			[]Check{
				{"ATransactionSeesItsOwnWrites", ownWrites},
				{"StepsOfOneCallSeeEachOtherAsCallsDo", stepsSeeEachOther},
				{"OrderOfWritesIsKept", writesKeepTheirOrder},
				{"RecordsBelongToTheCaller", recordsAreTheCallers},
				{"WhatWasFoundBelongsToTheCaller", whatWasFoundIsTheCallers},
				{"UniqueValuesArePassedOnWithinACall", ordersOfUniqueValues},
				{"AQuestionThatFailsIsNotTheEnd", aQuestionThatFails},
				{"ATransactionEndsWithItsCall", txEnds},
			}},
		{"Values, bounds, versions and relations hold",
			"types and bounds are looked at before a write; unique indexes and foreign keys are " +
				"the database's",
			[]Check{
				{"ValuesComeBackAsTheyWere", valuesComeBack},
				{"PutSetsWhatTheHouseKeeps", putSetsSystemFields},
				{"AbsentSlotsKeepWhatIsStored", absentKeeps},
				{"VersionsGuardWrites", versionsGuard},
				{"OperatorsApplyToWhatIsStored", operatorsApply},
				{"OperatorsKeepBounds", operatorsKeepBounds},
				{"UniqueValuesAreTakenOnce", uniqueOnce},
				{"RelationsMustExist", relationsExist},
				{"DeleteIsRefusedWhileInUse", deleteInUse},
				{"DeleteTakesAndClears", deleteTakesAndClears},
				{"DeleteOfATree", deleteTree},
				{"DeleteOfARing", deleteRing},
				{"DeleteIsBounded", deleteBounded},
			}},
		{"A question has one answer on every database",
			"plans are rendered so that nulls, collation, numbers and times mean what rules mean",
			[]Check{
				{"FindSortsAndBounds", findSorts},
				{"ConditionsAreThreeValued", conditions},
				{"FunctionsAreThoseOfRules", functions},
				{"CalculationsEndInNull", calculations},
				{"RelationsAndSetsAreLookedThrough", relations},
				{"FieldsMayHaveAnyName", names},
				{"AggregatesGroup", aggregates},
			}},
		{"A migration happens wholly or not at all",
			"all steps are one transaction and one entry",
			[]Check{
				{"ApplyChangesShapes", applyChangesShapes},
				{"ApplyIsAllOrNothing", applyAllOrNothing},
				{"ApplyJudgesWhatNobodyChanges", applyJudges},
				{"ApplyFillsAndConverts", applyFills},
				{"RenamesChangePlaces", renamesChangePlaces},
				{"StepsOfADiffLeadThereAndBack", diffLeads},
				{"PlansAreCounted", plansAreCounted},
				{"SchemaChangesBetween", schemaBetween},
			}},
	}
}
