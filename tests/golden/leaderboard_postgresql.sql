-- The tables of the first revision, written by hand before it came from the models.

CREATE TABLE rater (
    id VARCHAR(32) NOT NULL,
    token_sha256 VARCHAR(64) NOT NULL,
    name VARCHAR(100),
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_rater PRIMARY KEY (id),
    CONSTRAINT uq_rater_token_sha256 UNIQUE (token_sha256)
);

CREATE TABLE study (
    id VARCHAR(32) NOT NULL,
    name VARCHAR(100) NOT NULL,
    rules JSON NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_study PRIMARY KEY (id),
    CONSTRAINT uq_study_name UNIQUE (name)
);

CREATE TABLE agent (
    id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    name VARCHAR(100) NOT NULL,
    name_key VARCHAR(200) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_agent PRIMARY KEY (id),
    CONSTRAINT uq_agent_study_id_name_key UNIQUE (study_id, name_key),
    CONSTRAINT fk_agent_study_id FOREIGN KEY(study_id) REFERENCES study (id)
);

CREATE TABLE submission (
    id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    agent_id VARCHAR(32) NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    manifest JSON DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_submission PRIMARY KEY (id),
    CONSTRAINT fk_submission_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT fk_submission_agent_id FOREIGN KEY(agent_id) REFERENCES agent (id)
);

CREATE INDEX ix_submission_agent_id ON submission (agent_id);

CREATE INDEX ix_submission_study_id ON submission (study_id);

CREATE TABLE episode (
    id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    submission_id VARCHAR(32) NOT NULL,
    agent_id VARCHAR(32) NOT NULL,
    task VARCHAR(100) NOT NULL,
    seed BIGINT NOT NULL,
    steps INTEGER NOT NULL,
    ended VARCHAR(20) NOT NULL,
    video_sha256 VARCHAR(64) NOT NULL,
    lines_sha256 VARCHAR(64) NOT NULL,
    verified BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_episode PRIMARY KEY (id),
    CONSTRAINT uq_episode_agent_id_task_seed UNIQUE (agent_id, task, seed),
    CONSTRAINT fk_episode_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT fk_episode_submission_id FOREIGN KEY(submission_id) REFERENCES submission (id),
    CONSTRAINT fk_episode_agent_id FOREIGN KEY(agent_id) REFERENCES agent (id)
);

CREATE INDEX ix_episode_submission_id ON episode (submission_id);

CREATE INDEX ix_episode_pairing ON episode (study_id, task, seed);

CREATE TABLE assignment (
    id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    rater_id VARCHAR(32) NOT NULL,
    left_episode_id VARCHAR(32) NOT NULL,
    right_episode_id VARCHAR(32) NOT NULL,
    pair VARCHAR(65) NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    expires TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_assignment PRIMARY KEY (id),
    CONSTRAINT ck_assignment_two_episodes CHECK (left_episode_id <> right_episode_id),
    CONSTRAINT fk_assignment_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT fk_assignment_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id),
    CONSTRAINT fk_assignment_left_episode_id FOREIGN KEY(left_episode_id) REFERENCES episode (id),
    CONSTRAINT fk_assignment_right_episode_id FOREIGN KEY(right_episode_id) REFERENCES episode (id)
);

CREATE INDEX ix_assignment_open ON assignment (study_id, rater_id, expires);

CREATE TABLE judgment (
    number SERIAL NOT NULL,
    id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    assignment_id VARCHAR(32),
    rater_id VARCHAR(32),
    left_episode_id VARCHAR(32) NOT NULL,
    right_episode_id VARCHAR(32) NOT NULL,
    pair VARCHAR(65) NOT NULL,
    winner VARCHAR(10) NOT NULL,
    source VARCHAR(10) NOT NULL,
    responses JSON NOT NULL,
    justification TEXT NOT NULL,
    video_events JSON NOT NULL,
    seconds DOUBLE PRECISION,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    attempt INTEGER DEFAULT 0 NOT NULL,
    watched_left DOUBLE PRECISION,
    watched_right DOUBLE PRECISION,
    CONSTRAINT pk_judgment PRIMARY KEY (number),
    CONSTRAINT ck_judgment_winner CHECK (winner in ('left', 'right', 'draw', 'both_bad', 'skip')),
    CONSTRAINT ck_judgment_source CHECK (source in ('human', 'bedd', 'telemetry', 'model')),
    CONSTRAINT ck_judgment_two_episodes CHECK (left_episode_id <> right_episode_id),
    CONSTRAINT uq_judgment_id UNIQUE (id),
    CONSTRAINT fk_judgment_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT uq_judgment_assignment_id UNIQUE (assignment_id),
    CONSTRAINT fk_judgment_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignment (id),
    CONSTRAINT fk_judgment_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id),
    CONSTRAINT fk_judgment_left_episode_id FOREIGN KEY(left_episode_id) REFERENCES episode (id),
    CONSTRAINT fk_judgment_right_episode_id FOREIGN KEY(right_episode_id) REFERENCES episode (id)
);

CREATE UNIQUE INDEX uq_judgment_telemetry ON judgment (study_id, pair) WHERE source = 'telemetry';

CREATE UNIQUE INDEX uq_judgment_human ON judgment (rater_id, pair, attempt) WHERE source = 'human';

CREATE INDEX ix_judgment_study ON judgment (study_id, pair);

CREATE TABLE store_secret (
    purpose VARCHAR(30) NOT NULL,
    value VARCHAR(64) NOT NULL,
    CONSTRAINT pk_store_secret PRIMARY KEY (purpose)
);

CREATE TABLE admin (
    id VARCHAR(32) NOT NULL,
    name VARCHAR(100) NOT NULL,
    password_hash VARCHAR(200),
    email VARCHAR(200),
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_admin PRIMARY KEY (id),
    CONSTRAINT uq_admin_name UNIQUE (name),
    CONSTRAINT uq_admin_email UNIQUE (email)
);

CREATE TABLE admin_session (
    token_sha256 VARCHAR(64) NOT NULL,
    admin_id VARCHAR(32) NOT NULL,
    expires TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_admin_session PRIMARY KEY (token_sha256),
    CONSTRAINT fk_admin_session_admin_id FOREIGN KEY(admin_id) REFERENCES admin (id)
);

CREATE TABLE invite (
    id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    token_sha256 VARCHAR(64) NOT NULL,
    label VARCHAR(100) NOT NULL,
    max_raters INTEGER,
    expires TIMESTAMP WITH TIME ZONE,
    revoked TIMESTAMP WITH TIME ZONE,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_invite PRIMARY KEY (id),
    CONSTRAINT fk_invite_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT uq_invite_token_sha256 UNIQUE (token_sha256)
);

CREATE INDEX ix_invite_study_id ON invite (study_id);

CREATE TABLE membership (
    study_id VARCHAR(32) NOT NULL,
    rater_id VARCHAR(32) NOT NULL,
    invite_id VARCHAR(32),
    platform VARCHAR(20),
    participant VARCHAR(100),
    consented TIMESTAMP WITH TIME ZONE,
    consent_sha256 VARCHAR(64),
    joined TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_membership PRIMARY KEY (study_id, rater_id),
    CONSTRAINT uq_membership_study_id_platform_participant UNIQUE (study_id, platform, participant),
    CONSTRAINT fk_membership_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT fk_membership_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id),
    CONSTRAINT fk_membership_invite_id FOREIGN KEY(invite_id) REFERENCES invite (id)
);

CREATE INDEX ix_membership_invite_id ON membership (invite_id);

CREATE TABLE gold_pair (
    id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    left_episode_id VARCHAR(32) NOT NULL,
    right_episode_id VARCHAR(32) NOT NULL,
    better VARCHAR(10) NOT NULL,
    explanation TEXT NOT NULL,
    retired TIMESTAMP WITH TIME ZONE,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_gold_pair PRIMARY KEY (id),
    CONSTRAINT ck_gold_pair_better CHECK (better in ('left', 'right', 'draw')),
    CONSTRAINT fk_gold_pair_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT fk_gold_pair_left_episode_id FOREIGN KEY(left_episode_id) REFERENCES episode (id),
    CONSTRAINT fk_gold_pair_right_episode_id FOREIGN KEY(right_episode_id) REFERENCES episode (id)
);

CREATE INDEX ix_gold_pair_study_id ON gold_pair (study_id);

CREATE TABLE attention_check (
    id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    rater_id VARCHAR(32) NOT NULL,
    kind VARCHAR(15) NOT NULL,
    gold_id VARCHAR(32),
    judgment_id VARCHAR(32),
    left_episode_id VARCHAR(32) NOT NULL,
    right_episode_id VARCHAR(32) NOT NULL,
    expected VARCHAR(10) NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    expires TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_attention_check PRIMARY KEY (id),
    CONSTRAINT ck_attention_check_kind CHECK (kind in ('qualification', 'gold', 'repeat', 'self')),
    CONSTRAINT fk_attention_check_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT fk_attention_check_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id),
    CONSTRAINT fk_attention_check_gold_id FOREIGN KEY(gold_id) REFERENCES gold_pair (id),
    CONSTRAINT fk_attention_check_left_episode_id FOREIGN KEY(left_episode_id) REFERENCES episode (id),
    CONSTRAINT fk_attention_check_right_episode_id FOREIGN KEY(right_episode_id) REFERENCES episode (id)
);

CREATE INDEX ix_attention_check_rater ON attention_check (study_id, rater_id);

CREATE TABLE check_answer (
    number SERIAL NOT NULL,
    id VARCHAR(32) NOT NULL,
    check_id VARCHAR(32) NOT NULL,
    study_id VARCHAR(32) NOT NULL,
    rater_id VARCHAR(32) NOT NULL,
    winner VARCHAR(10) NOT NULL,
    passed BOOLEAN NOT NULL,
    responses JSON NOT NULL,
    justification TEXT NOT NULL,
    video_events JSON NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_check_answer PRIMARY KEY (number),
    CONSTRAINT ck_check_answer_winner CHECK (winner in ('left', 'right', 'draw', 'both_bad', 'skip')),
    CONSTRAINT uq_check_answer_id UNIQUE (id),
    CONSTRAINT uq_check_answer_check_id UNIQUE (check_id),
    CONSTRAINT fk_check_answer_check_id FOREIGN KEY(check_id) REFERENCES attention_check (id),
    CONSTRAINT fk_check_answer_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT fk_check_answer_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id)
);

CREATE INDEX ix_check_answer_rater ON check_answer (study_id, rater_id);

CREATE TABLE event (
    number SERIAL NOT NULL,
    study_id VARCHAR(32),
    kind VARCHAR(15) NOT NULL,
    rater_id VARCHAR(32),
    answer_id VARCHAR(32),
    by VARCHAR(40) NOT NULL,
    data JSON NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_event PRIMARY KEY (number),
    CONSTRAINT ck_event_kind CHECK (kind in ('settings', 'ban', 'unban', 'withdraw', 'erase', 'requalify')),
    CONSTRAINT fk_event_study_id FOREIGN KEY(study_id) REFERENCES study (id),
    CONSTRAINT fk_event_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id)
);

CREATE INDEX ix_event_study ON event (study_id, kind, number);

CREATE TABLE refused_answer (
    number SERIAL NOT NULL,
    served_id VARCHAR(64) NOT NULL,
    rater_id VARCHAR(32),
    winner VARCHAR(20) NOT NULL,
    reason TEXT NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_refused_answer PRIMARY KEY (number)
);

CREATE INDEX ix_refused_answer_rater ON refused_answer (rater_id, created);

CREATE FUNCTION is_append_only() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME || 's'; END $$ LANGUAGE plpgsql;

CREATE TRIGGER judgment_no_update BEFORE UPDATE ON judgment FOR EACH ROW WHEN (NEW.justification <> '' OR NEW.video_events::text <> '[]' OR NEW.number IS DISTINCT FROM OLD.number OR NEW.id IS DISTINCT FROM OLD.id OR NEW.study_id IS DISTINCT FROM OLD.study_id OR NEW.assignment_id IS DISTINCT FROM OLD.assignment_id OR NEW.rater_id IS DISTINCT FROM OLD.rater_id OR NEW.left_episode_id IS DISTINCT FROM OLD.left_episode_id OR NEW.right_episode_id IS DISTINCT FROM OLD.right_episode_id OR NEW.pair IS DISTINCT FROM OLD.pair OR NEW.winner IS DISTINCT FROM OLD.winner OR NEW.source IS DISTINCT FROM OLD.source OR NEW.responses::text IS DISTINCT FROM OLD.responses::text OR NEW.seconds IS DISTINCT FROM OLD.seconds OR NEW.created IS DISTINCT FROM OLD.created OR NEW.attempt IS DISTINCT FROM OLD.attempt OR NEW.watched_left IS DISTINCT FROM OLD.watched_left OR NEW.watched_right IS DISTINCT FROM OLD.watched_right) EXECUTE FUNCTION is_append_only();

CREATE TRIGGER judgment_append_only BEFORE DELETE OR TRUNCATE ON judgment FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();

CREATE TRIGGER check_answer_no_update BEFORE UPDATE ON check_answer FOR EACH ROW WHEN (NEW.justification <> '' OR NEW.video_events::text <> '[]' OR NEW.number IS DISTINCT FROM OLD.number OR NEW.id IS DISTINCT FROM OLD.id OR NEW.check_id IS DISTINCT FROM OLD.check_id OR NEW.study_id IS DISTINCT FROM OLD.study_id OR NEW.rater_id IS DISTINCT FROM OLD.rater_id OR NEW.winner IS DISTINCT FROM OLD.winner OR NEW.passed IS DISTINCT FROM OLD.passed OR NEW.responses::text IS DISTINCT FROM OLD.responses::text OR NEW.seconds IS DISTINCT FROM OLD.seconds OR NEW.created IS DISTINCT FROM OLD.created) EXECUTE FUNCTION is_append_only();

CREATE TRIGGER check_answer_append_only BEFORE DELETE OR TRUNCATE ON check_answer FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();

CREATE TRIGGER event_no_update BEFORE UPDATE ON event FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();

CREATE TRIGGER event_append_only BEFORE DELETE OR TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();
