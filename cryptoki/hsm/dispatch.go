package hsm

import (
	"context"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// handler serves one kind of request.
type handler func(h *HSM, ctx context.Context, req p11.Request, reply any) error

// Do implements p11.Module.
func (h *HSM) Do(ctx context.Context, req p11.Request, reply any) error {
	life := h.life.of(req)
	life.RLock()
	defer life.RUnlock()
	if h.closed {
		return ck.CKR_CRYPTOKI_NOT_INITIALIZED
	}
	if err := h.refresh(ctx); err != nil {
		return err
	}
	err := h.profile().supports(req)
	if err == nil {
		err = handlers[req.Kind()](h, ctx, req, reply)
	}
	if marks[req.Kind()] {
		h.raiseMark(context.WithoutCancel(ctx))
	}
	if err != nil {
		return h.refused(req, err)
	}
	return nil
}

// onSlot is the handler of a request that names no session.
func onSlot[Q p11.Request, R any](fn func(*HSM, context.Context, Q, *R) error) handler {
	return func(h *HSM, ctx context.Context, req p11.Request, reply any) error {
		q, r, err := types[Q, R](req, reply)
		if err != nil {
			return err
		}
		return h.audited(ctx, nil, q, r, func() error { return fn(h, ctx, q, r) })
	}
}

// onSession is the handler of a request on a session, which it locks.
func onSession[Q p11.OnSession, R any](fn func(*HSM, context.Context, *session, Q, *R) error) handler {
	return sessionHandler(fn, true)
}

// onUnlockedSession is for requests that end or change all sessions of a slot,
// and lock them themselves.
func onUnlockedSession[Q p11.OnSession, R any](fn func(*HSM, context.Context, *session, Q, *R) error) handler {
	return sessionHandler(fn, false)
}

func sessionHandler[Q p11.OnSession, R any](fn func(*HSM, context.Context, *session, Q, *R) error, lock bool) handler {
	return func(h *HSM, ctx context.Context, req p11.Request, reply any) error {
		q, r, err := types[Q, R](req, reply)
		if err != nil {
			return err
		}
		s, err := h.session(q.On())
		if err != nil {
			return err
		}
		if lock {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.closed {
				return ck.CKR_SESSION_HANDLE_INVALID
			}
		}
		return h.audited(ctx, s, q, r, func() error {
			if err := h.mayCall(s, q.Kind()); err != nil {
				return err
			}
			return fn(h, ctx, s, q, r)
		})
	}
}

func types[Q p11.Request, R any](req p11.Request, reply any) (q Q, r *R, err error) {
	q, ok := req.(Q)
	if !ok {
		return q, nil, fmt.Errorf("request %T is not of its kind: %w", req, ck.CKR_GENERAL_ERROR)
	}
	if r, ok = reply.(*R); !ok {
		return q, nil, fmt.Errorf("reply %T does not fit request %T: %w", reply, req, ck.CKR_GENERAL_ERROR)
	}
	return q, r, nil
}

// handlers has one for every kind of request.
var handlers = [p11.NumKinds]handler{
	p11.KindGetInfo:            onSlot((*HSM).handleGetInfo),
	p11.KindGetSlotList:        onSlot((*HSM).handleGetSlotList),
	p11.KindGetSlotInfo:        onSlot((*HSM).handleGetSlotInfo),
	p11.KindGetTokenInfo:       onSlot((*HSM).handleGetTokenInfo),
	p11.KindWaitForSlotEvent:   onSlot((*HSM).handleWaitForSlotEvent),
	p11.KindGetMechanismList:   onSlot((*HSM).handleGetMechanismList),
	p11.KindGetMechanismInfo:   onSlot((*HSM).handleGetMechanismInfo),
	p11.KindInitToken:          onSlot((*HSM).handleInitToken),
	p11.KindInitPIN:            onSession((*HSM).handleInitPIN),
	p11.KindSetPIN:             onSession((*HSM).handleSetPIN),
	p11.KindOpenSession:        onSlot((*HSM).handleOpenSession),
	p11.KindCloseSession:       onUnlockedSession((*HSM).handleCloseSession),
	p11.KindCloseAllSessions:   onSlot((*HSM).handleCloseAllSessions),
	p11.KindGetSessionInfo:     onSession((*HSM).handleGetSessionInfo),
	p11.KindGetValidationFlags: onSession((*HSM).handleGetValidationFlags),
	p11.KindSessionCancel:      onSession((*HSM).handleSessionCancel),
	p11.KindGetOperationState:  onSession((*HSM).handleGetOperationState),
	p11.KindSetOperationState:  onSession((*HSM).handleSetOperationState),
	p11.KindLogin:              onUnlockedSession((*HSM).handleLogin),
	p11.KindLogout:             onUnlockedSession((*HSM).handleLogout),
	p11.KindCreateObject:       onSession((*HSM).handleCreateObject),
	p11.KindCopyObject:         onSession((*HSM).handleCopyObject),
	p11.KindDestroyObject:      onSession((*HSM).handleDestroyObject),
	p11.KindGetObjectSize:      onSession((*HSM).handleGetObjectSize),
	p11.KindGetAttributeValue:  onSession((*HSM).handleGetAttributeValue),
	p11.KindSetAttributeValue:  onSession((*HSM).handleSetAttributeValue),
	p11.KindFindObjectsInit:    onSession((*HSM).handleFindObjectsInit),
	p11.KindFindObjects:        onSession((*HSM).handleFindObjects),
	p11.KindFindObjectsFinal:   onSession((*HSM).handleFindObjectsFinal),
	p11.KindBegin:              onSession((*HSM).handleBegin),
	p11.KindUpdate:             onSession((*HSM).handleUpdate),
	p11.KindDigestKey:          onSession((*HSM).handleDigestKey),
	p11.KindFinish:             onSession((*HSM).handleFinish),
	p11.KindDualUpdate:         onSession((*HSM).handleDualUpdate),
	p11.KindMessage:            onSession((*HSM).handleMessage),
	p11.KindEndMessages:        onSession((*HSM).handleEndMessages),
	p11.KindGenerateKey:        onSession((*HSM).handleGenerateKey),
	p11.KindGenerateKeyPair:    onSession((*HSM).handleGenerateKeyPair),
	p11.KindWrapKey:            onSession((*HSM).handleWrapKey),
	p11.KindUnwrapKey:          onSession((*HSM).handleUnwrapKey),
	p11.KindDeriveKey:          onSession((*HSM).handleDeriveKey),
	p11.KindEncapsulateKey:     onSession((*HSM).handleEncapsulateKey),
	p11.KindDecapsulateKey:     onSession((*HSM).handleDecapsulateKey),
	p11.KindSeedRandom:         onSession((*HSM).handleSeedRandom),
	p11.KindGenerateRandom:     onSession((*HSM).handleGenerateRandom),
	p11.KindGetHSMInfo:         onSlot((*HSM).handleGetHSMInfo),
	p11.KindInitHSM:            onSlot((*HSM).handleInitHSM),
	p11.KindZeroizeHSM:         onSlot((*HSM).handleZeroizeHSM),
	p11.KindListHSMPolicies:    onSlot((*HSM).handleListHSMPolicies),
	p11.KindSetHSMPolicy:       onSession((*HSM).handleSetHSMPolicy),
	p11.KindCreatePartition:    onSession((*HSM).handleCreatePartition),
	p11.KindDeletePartition:    onSession((*HSM).handleDeletePartition),
	p11.KindAcceptRestore:      onSession((*HSM).handleAcceptRestore),
	p11.KindCheckRecords:       onSlot((*HSM).handleCheckRecords),
	p11.KindResizePartition:    onSession((*HSM).handleResizePartition),
	p11.KindRenamePartition:    onSession((*HSM).handleRenamePartition),
	p11.KindLabelPartition:     onSession((*HSM).handleLabelPartition),
	p11.KindClearPartition:     onSession((*HSM).handleClearPartition),
	p11.KindListPartitions:     onSlot((*HSM).handleListPartitions),
	p11.KindListRoles:          onSlot((*HSM).handleListRoles),
	p11.KindInitRole:           onSession((*HSM).handleInitRole),
	p11.KindResetRole:          onSession((*HSM).handleResetRole),
	p11.KindModifyUsageCount:   onSession((*HSM).handleModifyUsageCount),
	p11.KindListProfiles:       onSlot((*HSM).handleListProfiles),
	p11.KindExplainRefusal:     onUnlockedSession((*HSM).handleExplainRefusal),
	p11.KindSetAppID:           onSlot((*HSM).handleSetAppID),
	p11.KindGetAppID:           onSlot((*HSM).handleGetAppID),
	p11.KindOpenAppID:          onSlot((*HSM).handleOpenAppID),
	p11.KindCloseAppID:         onSlot((*HSM).handleCloseAppID),
	p11.KindIsActive:           onSession((*HSM).handleIsActive),
	p11.KindRestartSlot:        onSlot((*HSM).handleRestartSlot),
	p11.KindFactoryReset:       onSlot((*HSM).handleFactoryReset),
	p11.KindZeroizePartition:   onUnlockedSession((*HSM).handleZeroizePartition),
	p11.KindSetCloningDomain:   onSession((*HSM).handleSetCloningDomain),
	p11.KindGetObjectUID:       onSlot((*HSM).handleGetObjectUID),
	p11.KindGetObjectHandle:    onSlot((*HSM).handleGetObjectHandle),
	p11.KindCloneAsTargetInit:  onSession((*HSM).handleCloneAsTargetInit),
	p11.KindCloneAsSource:      onSession((*HSM).handleCloneAsSource),
	p11.KindCloneAsTarget:      onSession((*HSM).handleCloneAsTarget),
	p11.KindCloneObject:        onSession((*HSM).handleCloneObject),
	p11.KindBackupArchive:      onSession((*HSM).handleBackupArchive),
	p11.KindRestoreArchive:     onSession((*HSM).handleRestoreArchive),
	p11.KindReadArchive:        onSession((*HSM).handleReadArchive),

	p11.KindListPartitionPolicies:  onSlot((*HSM).handleListPartitionPolicies),
	p11.KindSetPartitionPolicy:     onUnlockedSession((*HSM).handleSetPartitionPolicy),
	p11.KindCheckHSMPolicies:       onSlot((*HSM).handleCheckHSMPolicies),
	p11.KindCheckPartitionPolicies: onSlot((*HSM).handleCheckPartitionPolicies),
	// The audit log.
	p11.KindInitAuditor:        onSlot((*HSM).handleInitAuditor),
	p11.KindSetAuditDomain:     onSession((*HSM).handleSetAuditDomain),
	p11.KindGetAuditConfig:     onSession((*HSM).handleGetAuditConfig),
	p11.KindSetAuditConfig:     onSession((*HSM).handleSetAuditConfig),
	p11.KindGetAuditStatus:     onSlot((*HSM).handleGetAuditStatus),
	p11.KindListAuditFiles:     onSession((*HSM).handleListAuditFiles),
	p11.KindRotateAuditLog:     onSession((*HSM).handleRotateAuditLog),
	p11.KindRemoveAuditFiles:   onSession((*HSM).handleRemoveAuditFiles),
	p11.KindVerifyAuditFiles:   onSession((*HSM).handleVerifyAuditFiles),
	p11.KindVerifyAuditRecords: onSession((*HSM).handleVerifyAuditRecords),
	p11.KindExportAuditSecret:  onSession((*HSM).handleExportAuditSecret),
	p11.KindImportAuditSecret:  onSession((*HSM).handleImportAuditSecret),
	p11.KindLogExternal:        onSession((*HSM).handleLogExternal),
}
