"""First."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("account_pkey")),
        sa.UniqueConstraint("name", name=op.f("account_name_key")),
    )
    op.create_table(
        "address",
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("public_ip", sa.String(length=45), nullable=False),
        sa.Column("elastic", sa.Boolean(), nullable=False),
        sa.Column("association_id", sa.String(length=40), nullable=True),
        sa.Column("interface_id", sa.String(length=40), nullable=True),
        sa.Column("private_ip", sa.String(length=45), nullable=True),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("address_pkey")),
        sa.UniqueConstraint("association_id", name=op.f("address_association_id_key")),
        sa.UniqueConstraint("number", name=op.f("address_number_key")),
        sa.UniqueConstraint("public_ip", name=op.f("address_public_ip_key")),
    )
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.create_index("ix_address_interface", ["interface_id", "elastic"], unique=False)
        batch_op.create_index("ix_address_owner", ["account", "region", "elastic", "id"], unique=False)

    op.create_table(
        "address_transfer",
        sa.Column("allocation_id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("public_ip", sa.String(length=45), nullable=False),
        sa.Column("transfer_account", sa.String(length=12), nullable=False),
        sa.Column("expires", sa.String(length=24), nullable=False),
        sa.Column("accepted", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", "account", name=op.f("address_transfer_pkey")),
    )
    with op.batch_alter_table("address_transfer", schema=None) as batch_op:
        batch_op.create_index("ix_address_transfer_owner", ["account", "region", "allocation_id"], unique=False)

    op.create_table(
        "console_output",
        sa.Column("instance_id", sa.String(length=40), nullable=False),
        sa.Column("mark", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("updated", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("console_output_pkey")),
    )
    op.create_table(
        "dhcp_options",
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("dhcp_options_pkey")),
    )
    with op.batch_alter_table("dhcp_options", schema=None) as batch_op:
        batch_op.create_index("ix_dhcp_options_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "egress_only_internet_gateway",
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("egress_only_internet_gateway_pkey")),
    )
    with op.batch_alter_table("egress_only_internet_gateway", schema=None) as batch_op:
        batch_op.create_index("ix_egress_only_internet_gateway_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_egress_only_internet_gateway_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "endpoint_service",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("ports", sa.String(length=255), nullable=False),
        sa.Column("private_dns_name", sa.String(length=255), nullable=False),
        sa.Column("prefix_list_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("endpoint_service_pkey")),
        sa.UniqueConstraint("region", "name", name=op.f("endpoint_service_region_name_key")),
    )
    op.create_table(
        "image",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("family", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("location", sa.String(length=255), nullable=False),
        sa.Column("owner_alias", sa.String(length=32), nullable=False),
        sa.Column("architecture", sa.String(length=16), nullable=False),
        sa.Column("platform", sa.String(length=16), nullable=False),
        sa.Column("boot_mode", sa.String(length=16), nullable=False),
        sa.Column("root_device_name", sa.String(length=32), nullable=False),
        sa.Column("virtualization_type", sa.String(length=16), nullable=False),
        sa.Column("ena_support", sa.Boolean(), nullable=False),
        sa.Column("sriov_net_support", sa.String(length=16), nullable=False),
        sa.Column("imds_support", sa.String(length=16), nullable=False),
        sa.Column("tpm_support", sa.String(length=16), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("deprecation_time", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason_code", sa.String(length=64), nullable=False),
        sa.Column("state_reason", sa.String(length=255), nullable=False),
        sa.Column("source_instance_id", sa.String(length=40), nullable=False),
        sa.Column("source_image_id", sa.String(length=40), nullable=False),
        sa.Column("source_image_region", sa.String(length=32), nullable=False),
        sa.Column("restarts_instance", sa.Boolean(), nullable=False),
        sa.Column("deregistration_protection", sa.String(length=32), nullable=False),
        sa.Column("protected_until", sa.String(length=24), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("image_pkey")),
    )
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.create_index("ix_image_family", ["region", "family"], unique=False)
        batch_op.create_index("ix_image_name", ["account", "region", "name"], unique=True)
        batch_op.create_index("ix_image_public", ["region", "public"], unique=False)
        batch_op.create_index(batch_op.f("ix_image_source_instance_id"), ["source_instance_id"], unique=False)

    op.create_table(
        "import_disk",
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("bucket", sa.String(length=255), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("format", sa.String(length=8), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("file_bytes", sa.BigInteger(), nullable=True),
        sa.Column("snapshot_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "number", name=op.f("import_disk_pkey")),
    )
    op.create_table(
        "import_image_task",
        sa.Column("architecture", sa.String(length=16), nullable=False),
        sa.Column("platform", sa.String(length=16), nullable=False),
        sa.Column("boot_mode", sa.String(length=16), nullable=False),
        sa.Column("image_id", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("import_image_task_pkey")),
    )
    with op.batch_alter_table("import_image_task", schema=None) as batch_op:
        batch_op.create_index("ix_import_image_task_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "import_snapshot_task",
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("import_snapshot_task_pkey")),
    )
    with op.batch_alter_table("import_snapshot_task", schema=None) as batch_op:
        batch_op.create_index("ix_import_snapshot_task_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "instance",
        sa.Column("reservation_id", sa.String(length=40), nullable=False),
        sa.Column("launch_index", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.String(length=40), nullable=False),
        sa.Column("instance_type", sa.String(length=32), nullable=False),
        sa.Column("architecture", sa.String(length=16), nullable=False),
        sa.Column("platform", sa.String(length=16), nullable=False),
        sa.Column("boot_mode", sa.String(length=16), nullable=False),
        sa.Column("root_device_name", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason_code", sa.String(length=64), nullable=False),
        sa.Column("state_reason", sa.String(length=255), nullable=False),
        sa.Column("transition_reason", sa.String(length=255), nullable=False),
        sa.Column("launch_time", sa.String(length=24), nullable=False),
        sa.Column("usage_time", sa.String(length=24), nullable=False),
        sa.Column("ended", sa.String(length=24), nullable=False),
        sa.Column("zone", sa.String(length=32), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("tenancy", sa.String(length=16), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("threads_per_core", sa.Integer(), nullable=False),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("private_ip", sa.String(length=45), nullable=False),
        sa.Column("hostname_type", sa.String(length=16), nullable=False),
        sa.Column("dns_a_record", sa.Boolean(), nullable=False),
        sa.Column("dns_aaaa_record", sa.Boolean(), nullable=False),
        sa.Column("key_name", sa.String(length=255), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.Column("user_data", sa.Text(), nullable=True),
        sa.Column("client_token", sa.String(length=64), nullable=False),
        sa.Column("disable_api_termination", sa.Boolean(), nullable=False),
        sa.Column("disable_api_stop", sa.Boolean(), nullable=False),
        sa.Column("shutdown_behavior", sa.String(length=16), nullable=False),
        sa.Column("monitoring", sa.Boolean(), nullable=False),
        sa.Column("ebs_optimized", sa.Boolean(), nullable=False),
        sa.Column("ena_support", sa.Boolean(), nullable=False),
        sa.Column("cpu_credits", sa.String(length=16), nullable=False),
        sa.Column("auto_recovery", sa.String(length=16), nullable=False),
        sa.Column("http_tokens", sa.String(length=16), nullable=False),
        sa.Column("http_endpoint", sa.String(length=16), nullable=False),
        sa.Column("http_hop_limit", sa.Integer(), nullable=False),
        sa.Column("http_ipv6", sa.String(length=16), nullable=False),
        sa.Column("metadata_tags", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("instance_pkey")),
    )
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.create_index("ix_instance_client_token", ["account", "region", "client_token"], unique=False)
        batch_op.create_index("ix_instance_host", ["host", "state"], unique=False)
        batch_op.create_index("ix_instance_image", ["image_id"], unique=False)
        batch_op.create_index("ix_instance_private_ip", ["account", "region", "private_ip"], unique=False)
        batch_op.create_index("ix_instance_reservation", ["account", "region", "reservation_id", "id"], unique=False)
        batch_op.create_index("ix_instance_state", ["account", "region", "state"], unique=False)
        batch_op.create_index("ix_instance_subnet", ["subnet_id"], unique=False)
        batch_op.create_index("ix_instance_vpc", ["vpc_id"], unique=False)

    op.create_table(
        "internet_gateway",
        sa.Column("vpc_id", sa.String(length=40), nullable=True),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("internet_gateway_pkey")),
        sa.UniqueConstraint("vpc_id", name=op.f("internet_gateway_vpc_id_key")),
    )
    with op.batch_alter_table("internet_gateway", schema=None) as batch_op:
        batch_op.create_index("ix_internet_gateway_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "key_pair",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("fingerprint", sa.String(length=255), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("key_pair_pkey")),
        sa.UniqueConstraint("account", "region", "name", name=op.f("key_pair_account_region_name_key")),
    )
    op.create_table(
        "nat_gateway",
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("connectivity", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("interface_id", sa.String(length=40), nullable=True),
        sa.Column("failure_code", sa.String(length=64), nullable=False),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("drain_seconds", sa.Integer(), nullable=False),
        sa.Column("ended", sa.String(length=24), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("nat_gateway_pkey")),
        sa.UniqueConstraint("interface_id", name=op.f("nat_gateway_interface_id_key")),
    )
    with op.batch_alter_table("nat_gateway", schema=None) as batch_op:
        batch_op.create_index("ix_nat_gateway_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_nat_gateway_subnet_id"), ["subnet_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_nat_gateway_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "network_insights_path",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("destination", sa.String(length=40), nullable=False),
        sa.Column("source_ip", sa.String(length=45), nullable=False),
        sa.Column("destination_ip", sa.String(length=45), nullable=False),
        sa.Column("protocol", sa.String(length=8), nullable=False),
        sa.Column("destination_port", sa.Integer(), nullable=True),
        sa.Column("leaving_source", sa.String(length=15), nullable=False),
        sa.Column("leaving_source_ports", sa.String(length=11), nullable=False),
        sa.Column("leaving_destination", sa.String(length=15), nullable=False),
        sa.Column("leaving_destination_ports", sa.String(length=11), nullable=False),
        sa.Column("arriving_source", sa.String(length=15), nullable=False),
        sa.Column("arriving_source_ports", sa.String(length=11), nullable=False),
        sa.Column("arriving_destination", sa.String(length=15), nullable=False),
        sa.Column("arriving_destination_ports", sa.String(length=11), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("network_insights_path_pkey")),
    )
    with op.batch_alter_table("network_insights_path", schema=None) as batch_op:
        batch_op.create_index("ix_network_insights_path_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "prefix_list",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("family", sa.String(length=4), nullable=False),
        sa.Column("max_entries", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("state_message", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("prefix_list_pkey")),
    )
    with op.batch_alter_table("prefix_list", schema=None) as batch_op:
        batch_op.create_index("ix_prefix_list_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "region",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("region_pkey")),
    )
    op.create_table(
        "replay",
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=80), nullable=False),
        sa.Column("token", sa.String(length=128), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("account", "region", "action", "token", name=op.f("replay_pkey")),
    )
    op.create_table(
        "root_replacement",
        sa.Column("instance_id", sa.String(length=40), nullable=False),
        sa.Column("old_volume_id", sa.String(length=40), nullable=False),
        sa.Column("new_volume_id", sa.String(length=40), nullable=False),
        sa.Column("snapshot_id", sa.String(length=40), nullable=False),
        sa.Column("image_id", sa.String(length=40), nullable=False),
        sa.Column("is_made", sa.Boolean(), nullable=False),
        sa.Column("deletes_old", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("completed", sa.String(length=24), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("root_replacement_pkey")),
    )
    with op.batch_alter_table("root_replacement", schema=None) as batch_op:
        batch_op.create_index("ix_root_replacement_instance", ["instance_id"], unique=False)
        batch_op.create_index("ix_root_replacement_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "snapshot",
        sa.Column("volume_id", sa.String(length=40), nullable=False),
        sa.Column("volume_size", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_message", sa.String(length=255), nullable=False),
        sa.Column("progress", sa.String(length=8), nullable=False),
        sa.Column("completed", sa.String(length=24), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("storage", sa.String(length=128), nullable=False),
        sa.Column("source_id", sa.String(length=40), nullable=False),
        sa.Column("taken_by", sa.String(length=40), nullable=False),
        sa.Column("being_taken", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("snapshot_pkey")),
    )
    with op.batch_alter_table("snapshot", schema=None) as batch_op:
        batch_op.create_index("ix_snapshot_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index("ix_snapshot_public", ["region", "public"], unique=False)
        batch_op.create_index("ix_snapshot_state", ["region", "state"], unique=False)
        batch_op.create_index("ix_snapshot_taken_by", ["taken_by"], unique=False)
        batch_op.create_index("ix_snapshot_volume", ["volume_id"], unique=False)

    op.create_table(
        "tag",
        sa.Column("resource_id", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("resource_type", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "key", "account", name=op.f("tag_pkey")),
    )
    with op.batch_alter_table("tag", schema=None) as batch_op:
        batch_op.create_index("ix_tag_search", ["account", "region", "key", "value"], unique=False)

    op.create_table(
        "task",
        sa.Column("resource_id", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("workflow", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_at", sa.Float(precision=53), nullable=False),
        sa.Column("since", sa.Float(precision=53), nullable=False),
        sa.Column("leased_until", sa.Float(precision=53), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("resource_id", name=op.f("task_pkey")),
    )
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.create_index("ix_task_due", ["run_at"], unique=False)

    op.create_table(
        "volume",
        sa.Column("zone", sa.String(length=32), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("snapshot_id", sa.String(length=40), nullable=False),
        sa.Column("volume_type", sa.String(length=16), nullable=False),
        sa.Column("iops", sa.Integer(), nullable=True),
        sa.Column("throughput", sa.Integer(), nullable=True),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("multi_attach", sa.Boolean(), nullable=False),
        sa.Column("auto_enable_io", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("volume_pkey")),
    )
    with op.batch_alter_table("volume", schema=None) as batch_op:
        batch_op.create_index("ix_volume_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "vpc",
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("tenancy", sa.String(length=16), nullable=False),
        sa.Column("dhcp_options_id", sa.String(length=40), nullable=False),
        sa.Column("dns_support", sa.Boolean(), nullable=False),
        sa.Column("dns_hostnames", sa.Boolean(), nullable=False),
        sa.Column("usage_metrics", sa.Boolean(), nullable=False),
        sa.Column("vlan", sa.Integer(), nullable=True),
        sa.Column("vlan_is_mapped", sa.Boolean(), nullable=False),
        sa.Column("uplink_address", sa.String(length=45), nullable=True),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("vpc_pkey")),
        sa.UniqueConstraint("uplink_address", name=op.f("vpc_uplink_address_key")),
        sa.UniqueConstraint("vlan", name=op.f("vpc_vlan_key")),
    )
    with op.batch_alter_table("vpc", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_vpc_dhcp_options_id"), ["dhcp_options_id"], unique=False)
        batch_op.create_index("ix_vpc_owner", ["account", "region", "id"], unique=False)

    op.create_table(
        "vpc_flow_log",
        sa.Column("resource_id", sa.String(length=40), nullable=False),
        sa.Column("traffic_type", sa.String(length=8), nullable=False),
        sa.Column("destination_type", sa.String(length=24), nullable=False),
        sa.Column("destination", sa.String(length=255), nullable=False),
        sa.Column("log_group", sa.String(length=255), nullable=False),
        sa.Column("role_arn", sa.String(length=255), nullable=False),
        sa.Column("line_format", sa.Text(), nullable=False),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("file_format", sa.String(length=16), nullable=False),
        sa.Column("hive_partitions", sa.Boolean(), nullable=False),
        sa.Column("hourly_partitions", sa.Boolean(), nullable=False),
        sa.Column("delivered", sa.String(length=24), nullable=False),
        sa.Column("error", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("vpc_flow_log_pkey")),
    )
    with op.batch_alter_table("vpc_flow_log", schema=None) as batch_op:
        batch_op.create_index("ix_vpc_flow_log_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_vpc_flow_log_resource_id"), ["resource_id"], unique=False)

    op.create_table(
        "vpc_peering_connection",
        sa.Column("requester_vpc_id", sa.String(length=40), nullable=False),
        sa.Column("requester_cidrs", sa.JSON(), nullable=False),
        sa.Column("requester_dns", sa.Boolean(), nullable=False),
        sa.Column("accepter_account", sa.String(length=12), nullable=False),
        sa.Column("accepter_vpc_id", sa.String(length=40), nullable=False),
        sa.Column("accepter_cidrs", sa.JSON(), nullable=False),
        sa.Column("accepter_dns", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("expires", sa.String(length=24), nullable=False),
        sa.Column("ended", sa.String(length=24), nullable=True),
        sa.Column("link", sa.Integer(), nullable=True),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("vpc_peering_connection_pkey")),
        sa.UniqueConstraint("link", name=op.f("vpc_peering_connection_link_key")),
    )
    with op.batch_alter_table("vpc_peering_connection", schema=None) as batch_op:
        batch_op.create_index("ix_peering_accepter", ["accepter_account", "region", "id"], unique=False)
        batch_op.create_index("ix_peering_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_vpc_peering_connection_accepter_vpc_id"), ["accepter_vpc_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_vpc_peering_connection_requester_vpc_id"), ["requester_vpc_id"], unique=False
        )

    op.create_table(
        "access_key",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("secret", sa.String(length=512), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("access_key_account_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("access_key_pkey")),
    )
    with op.batch_alter_table("access_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_access_key_account"), ["account"], unique=False)

    op.create_table(
        "account_settings",
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("snapshot_sharing", sa.String(length=24), nullable=False),
        sa.Column("image_sharing", sa.String(length=24), nullable=False),
        sa.Column("encrypts_disks", sa.Boolean(), nullable=False),
        sa.Column("disk_key", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("account_settings_account_fkey")),
        sa.PrimaryKeyConstraint("account", "region", name=op.f("account_settings_pkey")),
    )
    op.create_table(
        "host",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("vcpus_used", sa.Integer(), nullable=False),
        sa.Column("memory_used_mib", sa.Integer(), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.CheckConstraint("memory_used_mib <= memory_mib", name=op.f("host_memory_check")),
        sa.CheckConstraint("memory_used_mib >= 0 AND vcpus_used >= 0", name=op.f("host_used_check")),
        sa.CheckConstraint("vcpus_used <= vcpus", name=op.f("host_vcpus_check")),
        sa.ForeignKeyConstraint(["region"], ["region.name"], name=op.f("host_region_fkey")),
        sa.PrimaryKeyConstraint("name", name=op.f("host_pkey")),
    )
    with op.batch_alter_table("host", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_host_region"), ["region"], unique=False)

    op.create_table(
        "image_block_device",
        sa.Column("image_id", sa.String(length=40), nullable=False),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("snapshot_id", sa.String(length=40), nullable=False),
        sa.Column("virtual_name", sa.String(length=32), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("volume_type", sa.String(length=16), nullable=False),
        sa.Column("iops", sa.Integer(), nullable=True),
        sa.Column("throughput", sa.Integer(), nullable=True),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("image_block_device_image_id_fkey")),
        sa.PrimaryKeyConstraint("image_id", "device", name=op.f("image_block_device_pkey")),
    )
    with op.batch_alter_table("image_block_device", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_block_device_snapshot_id"), ["snapshot_id"], unique=False)

    op.create_table(
        "launch_permission",
        sa.Column("image_id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("launch_permission_image_id_fkey")),
        sa.PrimaryKeyConstraint("image_id", "account", name=op.f("launch_permission_pkey")),
    )
    op.create_table(
        "nat_gateway_address",
        sa.Column("nat_gateway_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("private_ip", sa.String(length=45), nullable=True),
        sa.Column("allocation_id", sa.String(length=40), nullable=True),
        sa.Column("public_ip", sa.String(length=45), nullable=True),
        sa.Column("association_id", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["nat_gateway_id"], ["nat_gateway.id"], name=op.f("nat_gateway_address_nat_gateway_id_fkey")
        ),
        sa.PrimaryKeyConstraint("nat_gateway_id", "position", name=op.f("nat_gateway_address_pkey")),
    )
    op.create_table(
        "network_acl",
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("network_acl_vpc_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("network_acl_pkey")),
    )
    with op.batch_alter_table("network_acl", schema=None) as batch_op:
        batch_op.create_index("ix_network_acl_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_acl_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "network_insights_analysis",
        sa.Column("path_id", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("message", sa.String(length=255), nullable=False),
        sa.Column("found", sa.Boolean(), nullable=True),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(
            ["path_id"], ["network_insights_path.id"], name=op.f("network_insights_analysis_path_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("network_insights_analysis_pkey")),
    )
    with op.batch_alter_table("network_insights_analysis", schema=None) as batch_op:
        batch_op.create_index("ix_network_insights_analysis_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_insights_analysis_path_id"), ["path_id"], unique=False)

    op.create_table(
        "prefix_list_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("prefix_list_id", sa.String(length=40), nullable=False),
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["prefix_list_id"], ["prefix_list.id"], name=op.f("prefix_list_entry_prefix_list_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("prefix_list_entry_pkey")),
        sa.UniqueConstraint(
            "prefix_list_id", "cidr", "added", name=op.f("prefix_list_entry_prefix_list_id_cidr_added_key")
        ),
    )
    with op.batch_alter_table("prefix_list_entry", schema=None) as batch_op:
        batch_op.create_index("ix_prefix_list_entry_versions", ["prefix_list_id", "added", "removed"], unique=False)

    op.create_table(
        "route_table",
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("route_table_vpc_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("route_table_pkey")),
    )
    with op.batch_alter_table("route_table", schema=None) as batch_op:
        batch_op.create_index("ix_route_table_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_route_table_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "security_group",
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("security_group_vpc_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("security_group_pkey")),
        sa.UniqueConstraint("vpc_id", "name", name=op.f("security_group_vpc_id_name_key")),
    )
    with op.batch_alter_table("security_group", schema=None) as batch_op:
        batch_op.create_index("ix_security_group_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_security_group_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "snapshot_draft",
        sa.Column("snapshot_id", sa.String(length=40), nullable=False),
        sa.Column("parent_id", sa.String(length=40), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("expires", sa.String(length=24), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("snapshot_draft_snapshot_id_fkey")),
        sa.PrimaryKeyConstraint("snapshot_id", name=op.f("snapshot_draft_pkey")),
    )
    with op.batch_alter_table("snapshot_draft", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_snapshot_draft_expires"), ["expires"], unique=False)
        batch_op.create_index(batch_op.f("ix_snapshot_draft_parent_id"), ["parent_id"], unique=False)

    op.create_table(
        "snapshot_lock",
        sa.Column("snapshot_id", sa.String(length=40), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.Column("duration", sa.Integer(), nullable=False),
        sa.Column("starts", sa.String(length=24), nullable=False),
        sa.Column("expires", sa.String(length=24), nullable=False),
        sa.Column("cool_off", sa.Integer(), nullable=True),
        sa.Column("cool_off_ends", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("snapshot_lock_snapshot_id_fkey")),
        sa.PrimaryKeyConstraint("snapshot_id", name=op.f("snapshot_lock_pkey")),
    )
    op.create_table(
        "snapshot_permission",
        sa.Column("snapshot_id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("snapshot_permission_snapshot_id_fkey")),
        sa.PrimaryKeyConstraint("snapshot_id", "account", name=op.f("snapshot_permission_pkey")),
    )
    op.create_table(
        "subnet",
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("zone", sa.String(length=32), nullable=False),
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("mac_tag", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("default_for_az", sa.Boolean(), nullable=False),
        sa.Column("map_public_ip", sa.Boolean(), nullable=False),
        sa.Column("available_addresses", sa.Integer(), nullable=False),
        sa.Column("hostname_type", sa.String(length=16), nullable=False),
        sa.Column("dns_a_record", sa.Boolean(), nullable=False),
        sa.Column("dns_aaaa_record", sa.Boolean(), nullable=False),
        sa.Column("assign_ipv6", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.CheckConstraint("available_addresses >= 0", name=op.f("subnet_available_addresses_check")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("subnet_vpc_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("subnet_pkey")),
        sa.UniqueConstraint("vpc_id", "mac_tag", name=op.f("subnet_vpc_id_mac_tag_key")),
    )
    with op.batch_alter_table("subnet", schema=None) as batch_op:
        batch_op.create_index("ix_subnet_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_subnet_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "volume_attachment",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("volume_id", sa.String(length=40), nullable=False),
        sa.Column("instance_id", sa.String(length=40), nullable=False),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("guest_device", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("attach_time", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["volume_id"], ["volume.id"], name=op.f("volume_attachment_volume_id_fkey")),
        sa.PrimaryKeyConstraint("volume_id", "instance_id", name=op.f("volume_attachment_pkey")),
        sa.UniqueConstraint("id", name=op.f("volume_attachment_id_key")),
        sa.UniqueConstraint("instance_id", "device", name=op.f("volume_attachment_instance_id_device_key")),
        sa.UniqueConstraint("instance_id", "guest_device", name=op.f("volume_attachment_instance_id_guest_device_key")),
    )
    op.create_table(
        "volume_modification",
        sa.Column("volume_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("started", sa.String(length=24), nullable=False),
        sa.Column("ended", sa.String(length=24), nullable=False),
        sa.Column("original_size", sa.Integer(), nullable=False),
        sa.Column("original_type", sa.String(length=16), nullable=False),
        sa.Column("original_iops", sa.Integer(), nullable=True),
        sa.Column("original_throughput", sa.Integer(), nullable=True),
        sa.Column("target_size", sa.Integer(), nullable=False),
        sa.Column("target_type", sa.String(length=16), nullable=False),
        sa.Column("target_iops", sa.Integer(), nullable=True),
        sa.Column("target_throughput", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["volume_id"], ["volume.id"], name=op.f("volume_modification_volume_id_fkey")),
        sa.PrimaryKeyConstraint("volume_id", name=op.f("volume_modification_pkey")),
    )
    op.create_table(
        "vpc_cidr_block",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("vpc_cidr_block_vpc_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("vpc_cidr_block_pkey")),
    )
    with op.batch_alter_table("vpc_cidr_block", schema=None) as batch_op:
        batch_op.create_index(
            "ix_vpc_cidr_block_ipv6",
            ["cidr"],
            unique=True,
            sqlite_where=sa.text("instr(cidr, ':') > 0"),
            postgresql_where=sa.text("strpos(cidr, ':') > 0"),
        )
        batch_op.create_index(batch_op.f("ix_vpc_cidr_block_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "vpc_endpoint",
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("service_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("private_dns", sa.Boolean(), nullable=False),
        sa.Column("dns_record_ip_type", sa.String(length=24), nullable=False),
        sa.Column("ended", sa.String(length=24), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["service_id"], ["endpoint_service.id"], name=op.f("vpc_endpoint_service_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("vpc_endpoint_pkey")),
    )
    with op.batch_alter_table("vpc_endpoint", schema=None) as batch_op:
        batch_op.create_index("ix_vpc_endpoint_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_vpc_endpoint_service_id"), ["service_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_vpc_endpoint_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "zone",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("zone_id", sa.String(length=32), nullable=False),
        sa.Column("storage", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["region"], ["region.name"], name=op.f("zone_region_fkey")),
        sa.PrimaryKeyConstraint("name", name=op.f("zone_pkey")),
    )
    with op.batch_alter_table("zone", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_zone_region"), ["region"], unique=False)

    op.create_table(
        "interface_prefix",
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("interface_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("interface_prefix_subnet_id_fkey")),
        sa.PrimaryKeyConstraint("subnet_id", "cidr", name=op.f("interface_prefix_pkey")),
    )
    with op.batch_alter_table("interface_prefix", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_interface_prefix_interface_id"), ["interface_id"], unique=False)

    op.create_table(
        "ipv6_address",
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("interface_id", sa.String(length=40), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("ipv6_address_subnet_id_fkey")),
        sa.PrimaryKeyConstraint("subnet_id", "address", name=op.f("ipv6_address_pkey")),
    )
    with op.batch_alter_table("ipv6_address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ipv6_address_interface_id"), ["interface_id"], unique=False)

    op.create_table(
        "network_acl_association",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("acl_id", sa.String(length=40), nullable=False),
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["acl_id"], ["network_acl.id"], name=op.f("network_acl_association_acl_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("network_acl_association_pkey")),
        sa.UniqueConstraint("subnet_id", name=op.f("network_acl_association_subnet_id_key")),
    )
    with op.batch_alter_table("network_acl_association", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_network_acl_association_acl_id"), ["acl_id"], unique=False)

    op.create_table(
        "network_acl_entry",
        sa.Column("acl_id", sa.String(length=40), nullable=False),
        sa.Column("egress", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("protocol", sa.String(length=8), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("from_port", sa.Integer(), nullable=True),
        sa.Column("to_port", sa.Integer(), nullable=True),
        sa.Column("icmp_type", sa.Integer(), nullable=True),
        sa.Column("icmp_code", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["acl_id"], ["network_acl.id"], name=op.f("network_acl_entry_acl_id_fkey")),
        sa.PrimaryKeyConstraint("acl_id", "egress", "number", name=op.f("network_acl_entry_pkey")),
    )
    op.create_table(
        "network_interface",
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("zone", sa.String(length=32), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("private_ip", sa.String(length=45), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source_dest_check", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("managed_by", sa.String(length=40), nullable=False),
        sa.Column("auto_public", sa.Boolean(), nullable=False),
        sa.Column("attachment_id", sa.String(length=40), nullable=True),
        sa.Column("instance_id", sa.String(length=40), nullable=True),
        sa.Column("device_index", sa.Integer(), nullable=True),
        sa.Column("attachment_status", sa.String(length=16), nullable=True),
        sa.Column("attach_time", sa.String(length=24), nullable=True),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("detached", sa.String(length=24), nullable=False),
        sa.Column("detached_from", sa.String(length=40), nullable=True),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("network_interface_subnet_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("network_interface_pkey")),
        sa.UniqueConstraint("attachment_id", name=op.f("network_interface_attachment_id_key")),
        sa.UniqueConstraint("mac", name=op.f("network_interface_mac_key")),
    )
    with op.batch_alter_table("network_interface", schema=None) as batch_op:
        batch_op.create_index("ix_network_interface_instance", ["instance_id", "device_index"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_interface_managed_by"), ["managed_by"], unique=False)
        batch_op.create_index("ix_network_interface_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_interface_private_ip"), ["private_ip"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_interface_subnet_id"), ["subnet_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_interface_vpc_id"), ["vpc_id"], unique=False)

    op.create_table(
        "private_address",
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("interface_id", sa.String(length=40), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("private_address_subnet_id_fkey")),
        sa.PrimaryKeyConstraint("subnet_id", "number", name=op.f("private_address_pkey")),
    )
    with op.batch_alter_table("private_address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_private_address_address"), ["address"], unique=False)
        batch_op.create_index(batch_op.f("ix_private_address_interface_id"), ["interface_id"], unique=False)

    op.create_table(
        "route",
        sa.Column("route_table_id", sa.String(length=40), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=40), nullable=False),
        sa.Column("interface_id", sa.String(length=40), nullable=True),
        sa.Column("origin", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["route_table_id"], ["route_table.id"], name=op.f("route_route_table_id_fkey")),
        sa.PrimaryKeyConstraint("route_table_id", "destination", name=op.f("route_pkey")),
    )
    with op.batch_alter_table("route", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_route_interface_id"), ["interface_id"], unique=False)

    op.create_table(
        "route_table_association",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("route_table_id", sa.String(length=40), nullable=False),
        sa.Column("vpc_id", sa.String(length=40), nullable=False),
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("gateway_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["route_table_id"], ["route_table.id"], name=op.f("route_table_association_route_table_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("route_table_association_pkey")),
        sa.UniqueConstraint(
            "vpc_id", "subnet_id", "gateway_id", name=op.f("route_table_association_vpc_id_subnet_id_gateway_id_key")
        ),
    )
    with op.batch_alter_table("route_table_association", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_route_table_association_route_table_id"), ["route_table_id"], unique=False)

    op.create_table(
        "security_group_rule",
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("identity", sa.String(length=160), nullable=False),
        sa.Column("egress", sa.Boolean(), nullable=False),
        sa.Column("protocol", sa.String(length=8), nullable=False),
        sa.Column("from_port", sa.Integer(), nullable=False),
        sa.Column("to_port", sa.Integer(), nullable=False),
        sa.Column("cidr_ipv4", sa.String(length=43), nullable=False),
        sa.Column("cidr_ipv6", sa.String(length=43), nullable=False),
        sa.Column("prefix_list_id", sa.String(length=40), nullable=False),
        sa.Column("peer_group_id", sa.String(length=40), nullable=False),
        sa.Column("peer_account", sa.String(length=12), nullable=False),
        sa.Column("peer_vpc_id", sa.String(length=40), nullable=False),
        sa.Column("peering_id", sa.String(length=40), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["security_group.id"], name=op.f("security_group_rule_group_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("security_group_rule_pkey")),
        sa.UniqueConstraint("group_id", "identity", name=op.f("security_group_rule_group_id_identity_key")),
    )
    with op.batch_alter_table("security_group_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_security_group_rule_group_id"), ["group_id"], unique=False)
        batch_op.create_index("ix_security_group_rule_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_security_group_rule_peer_group_id"), ["peer_group_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_security_group_rule_peering_id"), ["peering_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_security_group_rule_prefix_list_id"), ["prefix_list_id"], unique=False)

    op.create_table(
        "subnet_cidr_block",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("subnet_cidr_block_subnet_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("subnet_cidr_block_pkey")),
        sa.UniqueConstraint("subnet_id", name=op.f("subnet_cidr_block_subnet_id_key")),
    )
    op.create_table(
        "subnet_cidr_reservation",
        sa.Column("subnet_id", sa.String(length=40), nullable=False),
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("subnet_cidr_reservation_subnet_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("subnet_cidr_reservation_pkey")),
    )
    with op.batch_alter_table("subnet_cidr_reservation", schema=None) as batch_op:
        batch_op.create_index("ix_subnet_cidr_reservation_owner", ["account", "region", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_subnet_cidr_reservation_subnet_id"), ["subnet_id"], unique=False)

    op.create_table(
        "vpc_endpoint_group",
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["vpc_endpoint.id"], name=op.f("vpc_endpoint_group_endpoint_id_fkey")),
        sa.ForeignKeyConstraint(["group_id"], ["security_group.id"], name=op.f("vpc_endpoint_group_group_id_fkey")),
        sa.PrimaryKeyConstraint("endpoint_id", "group_id", name=op.f("vpc_endpoint_group_pkey")),
    )
    with op.batch_alter_table("vpc_endpoint_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_vpc_endpoint_group_group_id"), ["group_id"], unique=False)

    op.create_table(
        "interface_group",
        sa.Column("interface_id", sa.String(length=40), nullable=False),
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["security_group.id"], name=op.f("interface_group_group_id_fkey")),
        sa.ForeignKeyConstraint(
            ["interface_id"], ["network_interface.id"], name=op.f("interface_group_interface_id_fkey")
        ),
        sa.PrimaryKeyConstraint("interface_id", "group_id", name=op.f("interface_group_pkey")),
    )
    with op.batch_alter_table("interface_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_interface_group_group_id"), ["group_id"], unique=False)
        batch_op.create_index("ix_interface_group_order", ["interface_id", "position", "group_id"], unique=False)

    op.create_table(
        "network_interface_permission",
        sa.Column("interface_id", sa.String(length=40), nullable=False),
        sa.Column("grantee", sa.String(length=12), nullable=False),
        sa.Column("permission", sa.String(length=24), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(
            ["interface_id"], ["network_interface.id"], name=op.f("network_interface_permission_interface_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("network_interface_permission_pkey")),
    )
    with op.batch_alter_table("network_interface_permission", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_network_interface_permission_interface_id"), ["interface_id"], unique=False
        )
        batch_op.create_index("ix_network_interface_permission_owner", ["account", "region", "id"], unique=False)
